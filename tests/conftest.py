"""Settings of all tests: none is timed. Hypothesis fails an example that takes 0.2 s, which a busy machine does to any."""

from hypothesis import settings

settings.register_profile("untimed", settings.get_profile(settings.get_current_profile_name()), deadline=None)
if settings.get_current_profile_name() in ("default", "ci"):  # not where a run brings a profile of its own
    settings.load_profile("untimed")
