"""A progress bar for long work: on stderr, for a person only, and gone when the work is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int | None], None]]:
    """What long work tells its stage, how much is done and how much there is (``None``: nobody knows)."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda stage, done, total: None
        return
    from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def tell(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                for task in tasks.values():
                    bar.update(task, visible=False)
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield tell


@contextmanager
def advancing(stage: str, total: int | None, *, shown: bool = True) -> Iterator[Callable[[], None]]:
    """The same for work of one stage that goes on one by one: what it calls after each."""
    if not shown:
        yield lambda: None
        return
    done = count(1)
    with progress_bar() as tell:
        tell(stage, 0, total)
        yield lambda: tell(stage, next(done), total)
