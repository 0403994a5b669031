"""The key and the certificate of a sensor."""

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from lightest_agents.sensor.enrolment import enrol, read_key
from lightest_agents.sensor.errors import EnrolmentError
from lightest_agents.trust.notification import sign
from tests.unit.sensor.test_outbox import notification

CLAIM = "sensor1.germany.raspidemo"


def test_a_key_is_made_once(tmp_path: Path) -> None:
    first = enrol(tmp_path, CLAIM)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    second = enrol(tmp_path, CLAIM)
    assert (first.changed, second.changed) == (True, False)
    assert first.certificate == second.certificate
    assert files == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(files) == {"sensor.key", "sensor.crt"}
    assert stat.S_IMODE((tmp_path / "sensor.key").stat().st_mode) == 0o600
    assert sign(notification(), read_key(tmp_path))


def test_the_certificate_carries_the_claim(tmp_path: Path) -> None:
    certificate = x509.load_pem_x509_certificate(enrol(tmp_path, CLAIM).certificate.encode())
    subject = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    issuer = certificate.extensions.get_extension_for_class(x509.IssuerAlternativeName)
    assert subject.value.get_values_for_type(x509.DNSName) == [CLAIM]
    assert issuer.value.get_values_for_type(x509.DNSName) == [CLAIM]
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == CLAIM
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(days=3651)
    certificate.verify_directly_issued_by(certificate)


def test_a_claim_longer_than_a_common_name_is_enrolled(tmp_path: Path) -> None:
    claim = f"{'x' * 63}.germany.raspidemo"
    certificate = x509.load_pem_x509_certificate(enrol(tmp_path, claim).certificate.encode())
    found = certificate.extensions.get_extension_for_class(x509.IssuerAlternativeName)
    assert found.value.get_values_for_type(x509.DNSName) == [claim]


def test_what_an_interrupted_enrolment_left_is_completed(tmp_path: Path) -> None:
    enrol(tmp_path, CLAIM)
    key = (tmp_path / "sensor.key").read_bytes()
    (tmp_path / "sensor.crt").unlink()
    assert enrol(tmp_path, CLAIM).changed
    assert (tmp_path / "sensor.key").read_bytes() == key


def test_enrolments_at_the_same_time_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: enrol(tmp_path, CLAIM), range(8)))
    assert len({enrolment.certificate for enrolment in found}) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sensor.crt", "sensor.key"]


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        enrol(folder, CLAIM)
    (one / "sensor.crt").write_bytes((other / "sensor.crt").read_bytes())
    with pytest.raises(EnrolmentError, match="is not the certificate of the key"):
        enrol(one, CLAIM)
    with pytest.raises(EnrolmentError, match=r"is for sensor1\.germany\.raspidemo, not for sensor2"):
        enrol(other, "sensor2.germany.raspidemo")
    (other / "sensor.key").unlink()
    with pytest.raises(EnrolmentError, match="is missing under"):
        enrol(other, CLAIM)
    assert not (other / "sensor.key").exists()


def test_damaged_and_foreign_files_are_refused_and_stay(tmp_path: Path) -> None:
    with pytest.raises(EnrolmentError, match="lightest sensor enrol"):
        read_key(tmp_path)
    enrol(tmp_path, CLAIM)
    key, certificate = tmp_path / "sensor.key", tmp_path / "sensor.crt"
    foreign = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for content, complaint in ((b"", "no usable key"), (b"junk", "no usable key"), (foreign, "no P-256 key")):
        key.write_bytes(content)
        with pytest.raises(EnrolmentError, match=complaint):
            enrol(tmp_path, CLAIM)
        assert key.read_bytes() == content
    key.chmod(0o640)
    with pytest.raises(EnrolmentError, match="chmod 600"):
        read_key(tmp_path)
    key.unlink()
    certificate.unlink()
    enrol(tmp_path, CLAIM)
    certificate.write_text("junk")
    with pytest.raises(EnrolmentError, match="is no certificate"):
        enrol(tmp_path, CLAIM)


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(EnrolmentError, match="cannot be written: No such file"):
        enrol(tmp_path / "missing", CLAIM)
