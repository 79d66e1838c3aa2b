"""Where the remedies of `ablate`, and of trials as jobs, are carried out: by tests of the command itself."""

ABLATE = (
    *(
        "expected numbers above 0, such as 3, 1 and 60",
        "holds an ablation of another",
        "has the name of another config",
        "a base needs a model",
    ),
    *("is neither a stabilizer nor a callback of the base", "--stabilizers: there is no file"),
    *("adds no callbacks; give a file", "which the base has; give the name"),
)
REMEDIES: dict = {}
ELSEWHERE = {
    **dict.fromkeys(ABLATE, "trials/test_ablate.py::test_what_cannot_be_ablated_gets_one_line_whose_remedy_works"),
    "jobs of a cluster need submitit": "trials/test_trials.py::test_a_cluster_needs_submitit",
}
