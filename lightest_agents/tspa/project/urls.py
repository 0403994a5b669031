"""Addresses of the TSPA."""

from django.urls import path

from lightest_agents.tspa.views import api, lists

urlpatterns = [
    path("", lists.about),
    path("healthz", lists.healthz),
    path("readyz", lists.readyz),
    path("lists/<str:country>/<str:sensor>", lists.trust_list),
    path("v1/sensors", api.list_sensors),
    path("v1/sensors/<str:claim>", api.show_sensor),
    path("v1/sensors/<str:claim>/certificate", api.put_certificate),
    path("v1/sensors/<str:claim>/suppliers", api.put_suppliers),
    path("v1/sensors/<str:claim>/withdraw", api.withdraw),
    path("v1/sensors/<str:claim>/restore", api.restore),
]

handler400 = "lightest_agents.tspa.views.problems.bad_request"
handler404 = "lightest_agents.tspa.views.problems.not_found"
handler500 = "lightest_agents.tspa.views.problems.server_error"
