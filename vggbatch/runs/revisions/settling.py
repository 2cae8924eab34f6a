"""What a killed command has left of a new generation: completed or removed by the next one."""

from __future__ import annotations

from vggbatch.output.layout import Output
from vggbatch.output.names import NEXT
from vggbatch.output.ownership.confined import check_confined
from vggbatch.output.ownership.lease import OutputLease
from vggbatch.output.switch import complete_switch, is_unfinished


def settle(output: Output) -> None:
    """Complete the switch to a generation that a killed command has prepared and begun."""
    check_confined(output.folder)
    if is_unfinished(output):
        with OutputLease(output.folder) as lease:
            complete_switch(Output(output.folder, fence=lease.fence))
            lease.fence.delete_tree(NEXT)


def forget_begun(output: Output) -> None:
    """Remove what an append has left that was killed when all was done."""
    if output.folder.exists(NEXT):
        with OutputLease(output.folder) as lease:
            lease.fence.delete_tree(NEXT)
