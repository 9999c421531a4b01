"""What most jobs import, imported once by the server that forks them; it starts no thread."""

import optuna  # noqa: F401
import sklearn.linear_model
import sklearn.pipeline  # noqa: F401
import torch.optim.adamw  # noqa: F401
import xgboost  # noqa: F401
