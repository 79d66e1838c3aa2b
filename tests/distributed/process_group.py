"""Functions run in several processes that communicate through gloo; the processes are forks, which start at once."""

import multiprocessing
import os
import socket
import traceback
from datetime import timedelta

import torch
import torch.distributed as dist


def run_in_processes(world, work, *args, seconds=240):
    """Run `work(*args)` in `world` processes and return the results by rank; an error in one is raised here."""
    context = multiprocessing.get_context("fork")
    port, pipes, children = free_port(), [], []
    for rank in range(world):
        ours, theirs = context.Pipe(duplex=False)
        children.append(context.Process(target=_process, args=(rank, world, port, theirs, work, args), daemon=True))
        children[-1].start()
        theirs.close()
        pipes.append(ours)
    results, errors = [], []
    for rank, pipe in enumerate(pipes):
        try:
            answer = pipe.recv() if pipe.poll(1 if errors else seconds) else (False, f"no answer for {seconds} s")
        except EOFError:
            answer = False, "ended without an answer"
        results.append(answer[1])
        if not answer[0]:
            errors.append(f"process {rank} of {world}: {answer[1]}")
    for child in children:
        child.join(1)
        child.kill()
    assert not errors, "\n".join(errors)
    return results


def _process(rank, world, port, pipe, work, args):
    torch.set_num_threads(1)
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(world),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "GROUP_RANK": "0",
        "LOCAL_WORLD_SIZE": str(world),
        "TORCHELASTIC_RUN_ID": "test",  # tells Lightning that the processes are started already
    }
    try:
        dist.init_process_group("gloo", timeout=timedelta(seconds=60))
        answer = True, work(*args)
        dist.barrier()
    except BaseException:
        answer = False, traceback.format_exc()
    pipe.send(answer)
    pipe.close()
    os._exit(0)  # without the exit handlers copied from the parent process


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
