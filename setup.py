"""The packages: vmr_jax, and the configs at the top of the tree as vmr_jax.configs."""

from setuptools import find_packages, setup

configs = ["configs", *(f"configs.{name}" for name in find_packages("configs"))]
setup(
    packages=[*find_packages(include=["vmr_jax*"]), *(f"vmr_jax.{name}" for name in configs)],
    package_dir={"vmr_jax.configs": "configs"},
)
