"""Types of numbers that others have written: within what a run can write, and finite."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

LARGEST = 2**60
"""No number of images or bytes is as large."""
Count = Annotated[int, Field(ge=0, lt=LARGEST)]
"""Of images, bytes and the like: sums of them stay whole numbers everywhere."""
Sum = Annotated[int, Field(gt=-(2**62), lt=2**62)]
"""Of many values in a small unit."""
Seconds = Annotated[float, Field(ge=0, lt=2**40, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, lt=LARGEST, allow_inf_nan=False)]
"""Images per second."""
