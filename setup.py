"""All is said in pyproject.toml, but for one step: the sparse operators' library is compiled where that works."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

from setuptools import Command, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build import build

sys.path.insert(0, str(Path(__file__).parent))

from compress.errors import CompressError
from compress.operators import host, library_name
from exporters.sparse import compiler, library


class BuildSparse(Command):
    """Compile the library into the package, or for an editable installation into the user's cache.

    Where no compiler works the rest is installed all the same: exporting with sparse operators says what is missing.
    """

    editable_mode = False
    build_lib: str | None = None

    def initialize_options(self) -> None:
        self.build_lib = None

    def finalize_options(self) -> None:
        self.set_undefined_options("build", ("build_lib", "build_lib"))

    def run(self) -> None:
        try:
            if self.editable_mode:
                library.find()
                return
            path = Path(self.get_outputs()[0])
            path.parent.mkdir(parents=True, exist_ok=True)
            compiler.compile_library(path)
        except CompressError as error:
            self.warn(str(error))

    def get_outputs(self) -> list[str]:
        if self.editable_mode:
            return []
        return [str(Path(self.build_lib or "") / "exporters" / "sparse" / "lib" / library_name(host()))]

    def get_output_mapping(self) -> dict[str, str]:
        return {}

    def get_source_files(self) -> list[str]:
        return [str(path.relative_to(Path(__file__).parent)) for path in sorted(compiler.SOURCES.iterdir())]


class BuildWithSparse(build):
    """The usual steps, and that one."""

    sub_commands: ClassVar = [*build.sub_commands, ("build_sparse", None)]


class PlatformWheel(bdist_wheel):
    """A wheel with the library in it is for one platform, and for every Python there."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


setup(cmdclass={"build": BuildWithSparse, "build_sparse": BuildSparse, "bdist_wheel": PlatformWheel})
