"""`python`: a function beside the job files."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from nomaflow.definitions.param import Params
from nomaflow.definitions.record import spelled
from nomaflow.definitions.steps.common import StepCommon

Callable = Annotated[
    str,
    spelled(
        r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$",
        "module:function, for example hello:say_hello for the function say_hello in hello.py",
        max_length=200,
    ),
]


class Python(StepCommon):
    """`callable` is `module.path:function`, found in the jobs folder; it is imported when the step runs.

    An `async def` runs on asyncio, or on trio with `flavour = "trio"`; a plain function runs in the main thread.
    """

    runs_code: ClassVar = True
    starts_processes: ClassVar = True

    type: Literal["python"]
    callable: Callable
    flavour: Literal["asyncio", "trio"] = "asyncio"
    op_kwargs: Params = {}

    @property
    def detail(self) -> str:
        """The callable."""
        return self.callable
