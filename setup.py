"""Packaging of the Layout Expert. What Rekall itself needs on today's Pythons is in requirements.txt."""
import os
import runpy

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

BRIDGE = "rekall_layout_expert.rekall_bridge"


class BuildWithBridge(build_py):
    """Adds the .pth file by which every start of Python in the environment learns where to find Rekall's bridge."""

    def run(self):
        super().run()
        with open(os.path.join(self.build_lib, "rekall_layout_expert.pth"), "w") as pth:
            pth.write("import {0}; {0}.install()\n".format(BRIDGE))


setup(
    name="rekall-layout-expert",
    version=runpy.run_path("rekall_layout_expert/version.py")["VERSION"],
    description="Predicts the memory layout of a Linux kernel from its headers and configuration, for Rekall.",
    license="Apache-2.0",
    classifiers=[
        "Environment :: Console",
        "Intended Audience :: Information Technology",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Topic :: Security",
    ],
    python_requires=">=3.9",
    # Not Rekall: its own pins of 2017 cannot be installed any more, so no resolver may follow them. See requirements.txt.
    install_requires=["pyparsing>=3.0", "urllib3>=2.3"],
    # Repositories of Pre-ASTs that are neither a directory nor on the web; many workers that build Pre-ASTs.
    extras_require={"s3": ["s3fs"], "gcs": ["gcsfs"], "stores": ["fsspec"], "workers": ["joblib>=1.4"],
                    "dask": ["joblib>=1.4", "distributed"]},
    packages=find_packages(include=["rekall_layout_expert", "rekall_layout_expert.*"]),
    package_data={"": ["**/*.json", "**/*.c", "**/*.h", "**/*.txt"]},
    cmdclass={"build_py": BuildWithBridge},
    entry_points={
        "console_scripts": ["layout_tool = rekall_layout_expert.command_line:run"],
        "rekall.plugins": ["layout_expert = rekall_layout_expert.plugin"],
    },
)
