"""A node adds its number, 1 or 2, to what it is given."""

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context):
    step = 1 + context.node_config["partition-id"]
    arrays = [array + step for array in message.content["arrays"].to_numpy_ndarrays()]
    metrics = MetricRecord({"num-examples": 10})
    return Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context):
    mean = float(message.content["arrays"].to_numpy_ndarrays()[0].mean())
    metrics = MetricRecord({"num-examples": 10, "mean": mean})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)
