"""Averages what both nodes send back, and knows what must come out."""

import numpy as np
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()
BOTH = dict.fromkeys(["min_train_nodes", "min_evaluate_nodes", "min_available_nodes"], 2)


@app.main()
def main(grid: Grid, context: Context) -> None:
    rounds = int(context.run_config["num-server-rounds"])
    # 1 MiB of weights, so that the links carry something.
    weights = ArrayRecord([np.zeros((512, 512), dtype=np.float32)])
    strategy = FedAvg(fraction_train=1.0, fraction_evaluate=1.0, **BOTH)
    result = strategy.start(grid=grid, initial_arrays=weights, num_rounds=rounds)
    mean = float(result.arrays.to_numpy_ndarrays()[0].mean())
    assert abs(mean - 1.5 * rounds) < 1e-5, mean
    print(f"FEDERATED MEAN {mean:.3f} after {rounds} rounds", flush=True)
