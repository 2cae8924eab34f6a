"""What completes the words of a command line, where a shell was taught to ask."""

from __future__ import annotations


def model_names(incomplete: str) -> list[str]:
    """Zoo names that complete a word; the synthetic models once there is an @."""
    from vggbatch.models.catalog import catalog

    synthetic = "@synthetic" if "@" in incomplete else ""
    return [name + synthetic for name in catalog() if (name + synthetic).startswith(incomplete)]


def setting_names(incomplete: str) -> list[str]:
    """Keys of the configuration, and its sections, that complete a word."""
    from vggbatch.config.describe import settings

    keys = [one.key for one in settings()]
    sections = [key.rpartition(".")[0] for key in keys if "." in key]
    return [word for word in dict.fromkeys([*sections, *keys]) if word.startswith(incomplete)]


def assignments(incomplete: str) -> list[str]:
    """What completes KEY=VALUE: keys, and behind the sign the values where they are few."""
    from vggbatch.config.describe import settings

    key, sign, _ = incomplete.partition("=")
    if not sign:
        return [f"{one.key}=" for one in settings() if one.key.startswith(key)]
    values = [value for one in settings() if one.key == key for value in one.values]
    return [found for value in values if (found := f"{key}={value}").startswith(incomplete)]


def label_assignments(incomplete: str) -> list[str]:
    """What completes KEY=VALUE where only columns and indices can be set."""
    found = assignments(incomplete)
    return [word for word in found if word.startswith(("columns.", "indices."))]


def profile_names(incomplete: str) -> list[str]:
    """Preprocessing profiles that complete the last name of a list."""
    from vggbatch.preprocess.profiles import PROFILES

    before, comma, _ = incomplete.rpartition(",")
    named = before.split(",")
    words = [f"{before}{comma}{name}" for name in ("all", *PROFILES) if name not in named]
    return [word for word in words if word.startswith(incomplete)]
