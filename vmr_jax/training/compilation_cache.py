"""The cache of compiled programs, which every command that computes turns on."""

import os
from pathlib import Path

import jax


def keep_compilations() -> None:
    """Compile once: a second start of the same program reads the first one's executables.

    They are kept in JAX_COMPILATION_CACHE_DIR, or in vmr_jax/ of the user's cache without it.
    """
    cache = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if not cache:
        cache = str(Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "vmr_jax")
        jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
