"""`python -m runtime.nn`: the smallest network that learns: XOR, which one layer cannot do and two can.

Prints the loss of both on the way down, then what the second network says between the four corners.
"""

import numpy as np

from runtime import tensor as t
from runtime.nn.layers import Dense
from runtime.nn.module import Module
from runtime.tensor import Tensor, no_grad

CORNERS = Tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
XOR = np.array([[0], [1], [1], [0]], dtype=np.float32)
SHADES = " ░▒▓█"


class Xor(Module):
    """Two inputs, `hidden` tanh units (none: straight through), one output between 0 and 1."""

    def __init__(self, rng: np.random.Generator, hidden: int = 4) -> None:
        self.hidden = Dense(2, hidden, rng) if hidden else None
        self.out = Dense(hidden or 2, 1, rng)

    def __call__(self, x: Tensor) -> Tensor:
        return self.out(self.hidden(x).tanh() if self.hidden else x).sigmoid()


def learn(network: Module, steps: int, rate: float = 2.0) -> list[float]:
    """Plain gradient descent on the squared error of the four corners: the whole of training. Returns the losses."""
    losses = []
    for _ in range(steps):
        network.zero_grad()
        loss = t.mse_loss(network(CORNERS), XOR)
        loss.backward()
        for p in network.parameters().values():
            p.data -= np.float32(rate) * p.grad
        losses.append(loss.item())
    return losses


def picture(network: Module, rows: int = 13, columns: int = 37) -> str:
    """The network's output over the square [-0.25, 1.25]^2 in shades, with what is wanted written at the corners."""
    across, up = np.linspace(-0.25, 1.25, columns), np.linspace(1.25, -0.25, rows)
    points = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    with no_grad():
        values = network(Tensor(points)).data.reshape(rows, columns)
    shades = np.minimum((values * len(SHADES)).astype(int), len(SHADES) - 1)
    field = [[SHADES[s] for s in row] for row in shades]
    for (x, y), wanted in zip(CORNERS.data, XOR[:, 0], strict=True):
        field[np.abs(up - y).argmin()][np.abs(across - x).argmin()] = str(int(wanted))
    return "\n".join("  " + "".join(row) for row in field)


def main() -> None:
    alone, hidden = Xor(np.random.default_rng(1), hidden=0), Xor(np.random.default_rng(1))
    columns = [learn(alone, 1001), learn(hidden, 1001)]
    print(f"{'step':>6} {'one layer':>12} {'4 tanh units before it':>25}   (mean squared error)")
    for step in (0, 10, 30, 100, 300, 1000):
        print(f"{step:6} {columns[0][step]:12.4f} {columns[1][step]:25.4f}")
    print("\nwhat the second one says between the four corners (blank: 0, full: 1)\n")
    print(picture(hidden) + "\n")
    for corner, said in zip(CORNERS.data, hidden(CORNERS).data, strict=True):
        print(f"{corner[0]:.0f} xor {corner[1]:.0f} = {said[0]:.3f}")


if __name__ == "__main__":
    main()
