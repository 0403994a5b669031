"""Django settings that are the same on every host."""

from lightest_agents.tspa.config import TspaConfig

TSPA: TspaConfig
"""The operator's settings, which `settings` reads."""

DEBUG = False
INSTALLED_APPS = ["lightest_agents.tspa"]
ROOT_URLCONF = "lightest_agents.tspa.project.urls"
WSGI_APPLICATION = "lightest_agents.tspa.project.wsgi.application"
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

APPEND_SLASH = False
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

# Each process sets up its own, as all agents do.
LOGGING_CONFIG = None

# A certificate is a few kilobytes; nothing larger is sent here.
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024

SECURE_SSL_REDIRECT = True
SECURE_HSTS_SECONDS = 365 * 24 * 3600
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
X_FRAME_OPTIONS = "DENY"

# W021 asks for HSTS_PRELOAD, which is about a list in public browsers; a private domain cannot be on it.
SILENCED_SYSTEM_CHECKS = ["security.W021"]
