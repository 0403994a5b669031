"""The zones that follow from a fleet."""

from collections.abc import Iterable

from lightest_agents.fleet.model import NAMESERVER_LABEL, Country, Settings, Zone, ZoneKind
from lightest_agents.trust import names


def zones_of(settings: Settings, countries: Iterable[Country]) -> tuple[Zone, ...]:
    """Every zone, level by level: the trust domain, the country zones, the scheme zones."""
    levels = [_country_zones(settings, country) for country in countries]
    domain = Zone(
        name=settings.domain,
        kind=ZoneKind.DOMAIN,
        parent=None,
        primary=settings.nameserver,
        nameserver=names.child(NAMESERVER_LABEL, settings.domain),
        delegations=tuple(country.name for country, _ in levels),
        country=None,
    )
    return (domain, *(country for country, _ in levels), *(scheme for _, scheme in levels))


def _country_zones(settings: Settings, country: Country) -> tuple[Zone, Zone]:
    zones = names.CountryNames.under(settings.domain, country.name)
    nameserver = names.child(NAMESERVER_LABEL, zones.country)
    return (
        Zone(
            name=zones.country,
            kind=ZoneKind.COUNTRY,
            parent=settings.domain,
            primary=country.nameserver,
            nameserver=nameserver,
            delegations=(zones.scheme,),
            country=country.name,
        ),
        Zone(
            name=zones.scheme,
            kind=ZoneKind.SCHEME,
            parent=zones.country,
            primary=country.nameserver,
            nameserver=nameserver,
            delegations=(),
            country=country.name,
        ),
    )
