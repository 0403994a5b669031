"""Property tests here are about values; how long one takes on a busy machine is no matter."""

from hypothesis import settings

settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")
