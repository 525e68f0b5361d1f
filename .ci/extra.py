"""Print the requirements of one extra of pyproject.toml, one per word: ``python .ci/extra.py tensorrt``."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
sys.stdout.write(" ".join(project["optional-dependencies"][sys.argv[1]]) + "\n")
