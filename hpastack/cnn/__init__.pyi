from .checkpoint import (
    MANIFEST as MANIFEST,
)
from .checkpoint import (
    PLAN as PLAN,
)
from .checkpoint import (
    read_checkpoint as read_checkpoint,
)
from .distributed import (
    Processes as Processes,
)
from .distributed import (
    process_group as process_group,
)
from .finetuning import (
    finetune_folds as finetune_folds,
)
from .history import (
    SCORES as SCORES,
)
from .history import (
    write_scores as write_scores,
)
from .neighbours import (
    cnn_neighbour_scores as cnn_neighbour_scores,
)
from .out_of_fold import (
    predict_store as predict_store,
)
from .settings import (
    CnnSettings as CnnSettings,
)
