"""The model on paper of pretraining by shards: a simulation of the tree of joins, fed with measured constants."""

import heapq
import math

from transferkit.distributed._runners import Tree, group_shards

MERGE_EVERY = 8
TOKENS = (10**9, 10**11, 10**13)
WORKERS = (1, 10, 1000)
GROUP_TOKENS = 10**8  # 8 shards of some 75 MB
NETWORK = 1.25e9  # bytes a second between workers, assumed: 10 Gbit/s
MAX_VOCABULARY, MAX_PAIRS = 20_000_000, 100_000_000
LSA_TERMS, LSA_VECTORS, LSA_PASSES = 1_000_000, 266, 5


class Node:
    """A task of the tree: learning from a group of shards, or joining two results."""

    def __init__(self, order, parts=()):
        self.order, self.parts, self.consumer = order, parts, None
        self.n_groups = sum(part.n_groups for part in parts) or 1
        self.missing = len(parts)
        self.worker, self.is_taken = None, False
        for part in parts:
            part.consumer = self


def grow_tree(n_groups):
    """Return the nodes of the tree that a cluster is given, each after its parts."""
    nodes = []

    def add(*parts):
        nodes.append(Node(len(nodes), parts))
        return nodes[-1]

    tree = Tree(add)
    for _ in range(n_groups):
        tree.add(add())
    tree.total()
    return nodes


class Simulation:
    """Workers that take a join of what they hold, or another join, or else the next group, in this order.

    `learn` is seconds; `join(n)` and `n_bytes(n)` depend on the number n of groups in a result; what a worker lacks for
    a join is sent to it first, at `bandwidth` bytes a second.
    """

    def __init__(self, n_groups, n_workers, learn, join, n_bytes, bandwidth, task_seconds=0.0):
        self.nodes = grow_tree(n_groups)
        self.learn, self.join, self.n_bytes = learn, join, n_bytes
        self.bandwidth, self.task_seconds = bandwidth, task_seconds
        self.groups = iter([node for node in self.nodes if not node.parts])
        self.joins, self.foreign = [[] for _ in range(n_workers)], []  # of each worker; a heap of all of them
        self.idle, self.running, self.clock = list(range(n_workers)), [], 0.0
        self.held, self.most, self.moved = [0.0] * n_workers, 0.0, 0.0

    def run(self):
        """Return makespan in seconds, bytes moved between workers, and the most bytes that a worker held."""
        while True:
            while self.idle and (node := self._next(self.idle[-1])) is not None:
                self._start(self.idle.pop(), node)
            if not self.running:
                return self.clock, self.moved, self.most
            self._finish(*heapq.heappop(self.running))

    def _next(self, worker):
        for queue in (self.joins[worker], self.foreign):
            while queue:
                node = queue.pop()
                if not node.is_taken:
                    node.is_taken = True
                    return node
        return next(self.groups, None)

    def _start(self, worker, node):
        away = sum(self.n_bytes(part.n_groups) for part in node.parts if part.worker != worker)
        self.moved += away
        self.held[worker] += self.n_bytes(node.n_groups) + away
        self.most = max(self.most, self.held[worker])
        seconds = self.join(node.n_groups) + away / self.bandwidth if node.parts else self.learn
        heapq.heappush(self.running, (self.clock + self.task_seconds + seconds, node.order, worker, away))

    def _finish(self, clock, order, worker, away):
        node, self.clock = self.nodes[order], clock
        node.worker = worker
        for part in node.parts:
            self.held[part.worker] -= self.n_bytes(part.n_groups)
        self.held[worker] -= away
        self.idle.append(worker)
        consumer = node.consumer
        if consumer is not None:
            consumer.missing -= 1
            if consumer.missing == 0:
                self.joins[worker].append(consumer)
                self.foreign.append(consumer)


def simulate(*arguments):
    return Simulation(*arguments).run()


def group_size(n_shards, n_workers):
    """Return how many shards a task takes in."""
    return len(group_shards(range(n_shards), MERGE_EVERY, n_workers)[0])


def predict_run(constants, n_workers, n_shards):
    """Return the seconds that the model expects of a run that is measured here.

    The constants of tasks are those measured in as many processes at a time as there are workers; what one worker does
    while the others wait takes the seconds of one alone.
    """
    size, transfer = group_size(n_shards, n_workers), constants["transfer"]
    tasks = constants[f"groups of {size}, {n_workers} at a time"]
    seconds = sum(constants["calls"].values())
    for recorded in tasks["passes"]:
        span, _, _ = simulate(
            math.ceil(n_shards / size),
            n_workers,
            recorded["learn"],
            lambda n, recorded=recorded: recorded["join"],
            lambda n, recorded=recorded: recorded["bytes"],
            transfer["bytes_per_second"],
            transfer["task_seconds"],
        )
        seconds += span
        if n_workers > 1:
            seconds += recorded["context_bytes"] / transfer["bytes_per_second"]
    return seconds


class Paper:
    """Seconds and bytes of tasks over groups of real text, from the constants."""

    def __init__(self, growth):
        self.growth = growth

    def _distinct(self, what, n_groups, most):
        law = self.growth[what]
        return min(law["factor"] * (n_groups * GROUP_TOKENS) ** law["power"], most)

    def term_bytes(self, n):
        """Return the bytes of the terms of n groups."""
        return self.growth["bytes_per_term"] * self._distinct("terms", n, MAX_VOCABULARY)

    def pair_bytes(self, n):
        """Return the bytes of their terms and pairs."""
        return self.term_bytes(n) + self.growth["bytes_per_pair"] * self._distinct("pairs", n, MAX_PAIRS)

    def join_terms(self, n):
        """Return the seconds in which two halves of n groups are joined."""
        return self.growth["seconds_per_merged_term"] * 2 * self._distinct("terms", n / 2, MAX_VOCABULARY)

    def join_pairs(self, n):
        """Return the same for word vectors."""
        return self.growth["seconds_per_merged_pair"] * 2 * self._distinct("pairs", n / 2, MAX_PAIRS)

    def matrix_bytes(self, n):
        """Return the bytes of LSA's product, however many groups it is of."""
        return 4 * LSA_TERMS * LSA_VECTORS

    def join_matrices(self, n):
        """Return the seconds in which two of them are added."""
        return self.growth["seconds_per_added_number"] * LSA_TERMS * LSA_VECTORS

    def learn(self, kind):
        """Return the seconds of one group."""
        return GROUP_TOKENS / self.growth["tokens_per_second"][kind]


def predict_large(growth, sizes=TOKENS):
    """Return the table of the paper: time, memory and bytes moved of each encoder, corpus and cluster."""
    paper = Paper(growth)
    kinds = {
        "TF-IDF": (paper.learn("TF-IDF"), paper.join_terms, paper.term_bytes),
        "word vectors": (paper.learn("word pairs"), paper.join_pairs, paper.pair_bytes),
        "LSA": (paper.learn("LSA, a pass"), paper.join_matrices, paper.matrix_bytes),
    }
    return [
        predict_case(kind, tasks, n_tokens, n_workers)
        for kind, tasks in kinds.items()
        for n_tokens in sizes
        for n_workers in WORKERS
    ]


def predict_case(kind, tasks, n_tokens, n_workers):
    n_groups, (learn, join, n_bytes), passes = n_tokens // GROUP_TOKENS, tasks, 1
    seconds, moved, most = simulate(n_groups, n_workers, learn, join, n_bytes, NETWORK)
    if kind == "LSA":  # each pass begins by handing every worker the basis, from worker to worker
        basis, passes = n_bytes(1), LSA_PASSES
        moved, most = moved + basis * (min(n_workers, n_groups) - 1), most + basis
        seconds += math.ceil(math.log2(n_workers)) * basis / NETWORK
    return {
        "kind": kind,
        "tokens": n_tokens,
        "workers": n_workers,
        "hours": passes * seconds / 3600,
        "gb_moved": passes * moved / 1e9,
        "gb_a_worker": most / 1e9,
        "efficiency": n_groups * learn / n_workers / seconds,
    }
