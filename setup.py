"""Builds the one program in C, where there is a compiler; all else stands in setup.cfg."""

import os

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


class BuildPrograms(build_ext):
    """Links a program, which is executed, where others link a module, which is imported."""

    def get_ext_filename(self, fullname: str) -> str:
        """Name the file, in the folder of the package."""
        return os.path.join(*fullname.split("."))

    def build_extension(self, ext: Extension) -> None:
        """Compile and link it."""
        objects = self.compiler.compile(
            ext.sources, output_dir=self.build_temp, extra_postargs=ext.extra_compile_args
        )
        folder, name = os.path.split(self.get_ext_fullpath(ext.name))
        self.compiler.link_executable(objects, name, output_dir=folder)


setup(
    cmdclass={"build_ext": BuildPrograms},
    ext_modules=[
        Extension(
            "luisito.spawner.starter",
            ["luisito/spawner/starter.c"],
            extra_compile_args=["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wpedantic"],
            optional=True,  # without it the spawner forks what it starts by itself
        )
    ],
)
