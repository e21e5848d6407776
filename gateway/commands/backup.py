"""lezgate backup: database and log together, made, read back, restored."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.commands._database import troubles_told
from gateway.config import load

if TYPE_CHECKING:
    from collections.abc import Iterator

_MEGABYTE = 1024**2
_PLACE = click.Path(path_type=Path, resolve_path=True)
_EXISTING = click.Path(path_type=Path, resolve_path=True, exists=True, file_okay=False)
_DATA_DIR = click.option("--data-dir", help="Where everything embedded lives | 数据目录")


def _say(english: str, chinese: str) -> None:
    click.echo(f"{english} | {chinese}")


@contextmanager
def _troubles_told() -> Iterator[None]:
    import nats.errors  # noqa: PLC0415
    from nats.js.errors import APIError  # noqa: PLC0415

    from gateway.backup.errors import BackupError  # noqa: PLC0415
    from gateway.log import StreamChangedError  # noqa: PLC0415
    from storage.programs import ProgramError  # noqa: PLC0415

    with troubles_told():
        try:
            yield
        except (BackupError, StreamChangedError) as error:
            raise click.ClickException(str(error)) from error
        except (nats.errors.Error, APIError) as error:
            raise click.ClickException(f"the log refused: {error!r}; try again | 日志服务拒绝：请重试") from error
        except ProgramError as error:
            raise click.ClickException(f"a program of PostgreSQL failed | PostgreSQL 程序执行失败\n{error}") from error
        except OSError as error:
            raise click.ClickException(f"{error} | 读写失败，请检查路径、权限与磁盘空间") from error


@click.group(short_help="Back up and restore database and log together | 备份与恢复")
def backup() -> None:
    """Back up and restore database and log together | 数据库与日志一同备份、恢复"""


@backup.command(short_help="Make a backup while the gateway runs | 在线备份")
@click.argument("directory", type=_PLACE)
@_DATA_DIR
@click.option(
    "--without-database",
    is_flag=True,
    help="A database of your own is backed up by its own means, up to a later moment | 数据库由自身工具备份",
)
@click.pass_obj
def create(config: str | None, directory: Path, data_dir: str | None, *, without_database: bool) -> None:
    """Make DIRECTORY: database, log, secrets and blobs, read back to the last byte | 创建并校验备份"""
    from gateway.backup.creating import create as make  # noqa: PLC0415

    with _troubles_told():
        settings = load(config, flags={"data_dir": data_dir})
        manifest = make(settings, directory, _say, with_database=not without_database)
    _say(
        f"{directory}: {manifest.bytes / _MEGABYTE:.1f} MB; all that was acknowledged before {manifest.taken_at} is in it",
        f"{directory}：{manifest.bytes / _MEGABYTE:.1f} MB，包含 {manifest.taken_at} 之前已应答的全部上报",
    )
    _say("it holds the secrets: keep it as safe as the data directory", "其中含有密钥，请与数据目录同等保管")
    if manifest.auth_key == "setting":
        _say(
            "LEZGATE_AUTH_KEY is a setting and not in it: keep that too",
            "LEZGATE_AUTH_KEY 为配置项，不在备份中，请另行保管",
        )


@backup.command(short_help="Read a backup back, to the last byte | 校验备份")
@click.argument("directory", type=_EXISTING)
def verify(directory: Path) -> None:
    """Read DIRECTORY back to its last byte: no store is needed | 校验备份，无需数据库"""
    from gateway.backup.verifying import read_back  # noqa: PLC0415

    with _troubles_told():
        manifest = read_back(directory, _say)
    _say(f"{directory} is whole: taken at {manifest.taken_at} on {manifest.host}",
         f"{directory} 完好：{manifest.taken_at} 于 {manifest.host} 创建")  # fmt: skip


@backup.command(short_help="Make a data directory of a backup | 恢复备份")
@click.argument("directory", type=_EXISTING)
@_DATA_DIR
@click.option(
    "--keep-log", is_flag=True, help="The log survives: only the database comes back | 日志仍在，只恢复数据库"
)
@click.pass_obj
def restore(config: str | None, directory: Path, data_dir: str | None, *, keep_log: bool) -> None:
    """Make a data directory of DIRECTORY that `lezgate serve` starts from | 从备份恢复出可启动的数据目录"""
    from gateway.backup import restoring  # noqa: PLC0415

    with _troubles_told():
        settings = load(config, flags={"data_dir": data_dir})
        manifest = (restoring.beside_log if keep_log else restoring.restore)(settings, directory, _say)
    _say(
        f"{settings.data} is ready: start `lezgate serve` over it",
        f"{settings.data} 已就绪：请以该目录启动 lezgate serve",
    )
    if manifest.auth_key == "setting":
        _say(
            "set LEZGATE_AUTH_KEY as it was, or terminals must register again",
            "请按原值设置 LEZGATE_AUTH_KEY，否则终端须重新注册",
        )


@backup.command(name="list", short_help="Verified backups of this database | 备份列表")
@_DATA_DIR
@click.pass_obj
def list_(config: str | None, data_dir: str | None) -> None:
    """Verified backups of this database, newest first | 已校验的备份，最新在前"""
    import psycopg  # noqa: PLC0415

    from gateway.database import running_database  # noqa: PLC0415
    from storage.backups import recorded  # noqa: PLC0415

    with (
        _troubles_told(),
        running_database(load(config, flags={"data_dir": data_dir})) as owner,
        psycopg.connect(owner, options="-c timezone=Asia/Shanghai") as conn,
    ):
        found = recorded(conn)
    for one in found:
        print(
            f"{one.taken_at:%Y-%m-%d %H:%M:%S %z}  {one.bytes / _MEGABYTE:9.1f} MB  {one.place}  {one.actor}  {one.stream}"
        )
    if not found:
        _say("none yet", "尚无备份")
