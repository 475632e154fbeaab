from setuptools import find_packages, setup

# Beside the two packages, the recipes at the top are carried as packages of data.
RECIPES = ["hpastack._recipes.features", "hpastack._recipes.models"]

setup(packages=[*find_packages(include=["hpastack*", "pipelines*"]), *RECIPES])
