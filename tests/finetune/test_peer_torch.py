"""The whole training step beside torch: same weights, same batches, same losses and gradient norms."""

import sys
from pathlib import Path

import numpy as np
import pytest

from finetune.adam import AdamW
from finetune.optim import OptimizerSettings, decays
from finetune.schedule import Schedule
from runtime.models.decoder import Decoder

sys.path.insert(0, str(Path(__file__).parent))
from tiny_run import SPEC, CountingBatches


@pytest.mark.peer
def test_losses_and_gradient_norms_follow_torch_with_llama_from_transformers():
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    ours = Decoder(SPEC, seed=3)
    parameters = ours.parameters()
    theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SPEC.to_hf_config())).float()
    theirs.load_state_dict({n: torch.from_numpy(p.data.copy()) for n, p in parameters.items()}, strict=False)
    named = dict(theirs.named_parameters())
    groups = [
        {"params": [p for n, p in named.items() if decays(n, parameters[n].data) == flag], "weight_decay": decay}
        for flag, decay in ((True, 0.1), (False, 0.0))
    ]
    peer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8)
    mine, schedule, batches = AdamW(parameters, OptimizerSettings()), Schedule(3e-3, 5, 30), CountingBatches()
    for step in range(1, 31):
        ids, targets = next(batches)
        ours.zero_grad()
        loss = ours.loss(ids, targets)
        loss.backward()
        norm = mine.step(schedule.rate(step), step)
        peer.zero_grad()
        logits = theirs(torch.from_numpy(ids).long()).logits
        flat = torch.from_numpy(targets).long().view(-1)
        peer_loss = torch.nn.functional.cross_entropy(logits.view(-1, SPEC.vocab_size), flat, ignore_index=-1)
        peer_loss.backward()
        peer_norm = torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        for group in peer.param_groups:
            group["lr"] = schedule.rate(step)
        peer.step()
        assert loss.item() == pytest.approx(peer_loss.item(), abs=1e-3), step
        assert norm == pytest.approx(peer_norm.item(), rel=1e-2), step
    for name, p in parameters.items():
        np.testing.assert_allclose(p.data, named[name].detach().numpy(), atol=2e-3, err_msg=name)
