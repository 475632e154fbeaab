from .choices import (
    STEMS as STEMS,
)
from .create import (
    create_backbone as create_backbone,
)
from .create import (
    expected_stains as expected_stains,
)
from .device import (
    autocast as autocast,
)
from .device import (
    choose_device as choose_device,
)
from .device import (
    gpu_memory_guard as gpu_memory_guard,
)
from .device import (
    network_precision as network_precision,
)
from .device import (
    to_device as to_device,
)
from .embedding import (
    embed_batch as embed_batch,
)
from .embedding import (
    embedding_columns as embedding_columns,
)
from .embedding import (
    embedding_dimension as embedding_dimension,
)
from .embedding import (
    network_inputs as network_inputs,
)
from .heads import (
    check_features_and_logits as check_features_and_logits,
)
from .heads import (
    features_and_logits as features_and_logits,
)
from .network import (
    Network as Network,
)
from .preprocessing import (
    Preprocessing as Preprocessing,
)
from .published import (
    PUBLIC_MODELS as PUBLIC_MODELS,
)
from .published import (
    PublicModel as PublicModel,
)
from .seen_labels import (
    embedding_kind as embedding_kind,
)
from .stems import (
    adapt_stem as adapt_stem,
)
from .stream import (
    compiled as compiled,
)
from .stream import (
    embed_stream as embed_stream,
)
from .weights import (
    read_weights_record as read_weights_record,
)
from .weights import (
    save_weights as save_weights,
)
from .weights import (
    weight_file as weight_file,
)
from .weights import (
    write_tensors as write_tensors,
)
