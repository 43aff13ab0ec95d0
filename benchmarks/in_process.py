"""Makes profiles as a long-lived process does, the Pre-AST loaded once, and logs what the second one took.

    python -m benchmarks.in_process PRE_AST CONFIG

The first profile has CONFIG; the second one has it with a few options changed, so that nothing of the first serves it.
"""
import sys
import time

from rekall_layout_expert import make_profile, read_pre_ast
from rekall_layout_expert.kernel_config import KernelConfig


def another(text):
    """A config text of the same kernel, with other layouts."""
    for ours, others in (("CONFIG_NR_CPUS=", "CONFIG_NR_CPUS=48\n#"), ("CONFIG_SECURITY=y", "# CONFIG_SECURITY is not set"),
                         ("CONFIG_MEMCG=y", "# CONFIG_MEMCG is not set")):
        text = text.replace("\n" + ours, "\n" + others)
    return text


def main():
    pre_ast = read_pre_ast(sys.argv[1])
    with open(sys.argv[2], encoding="utf-8") as file:
        text = file.read()
    first = make_profile(pre_ast, KernelConfig.parse(text, "config"))
    wall, cpu = time.perf_counter(), time.process_time()
    second = make_profile(pre_ast, KernelConfig.parse(another(text), "another config"))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    sizes = [profile["$STRUCTS"]["task_struct"][0] for profile in (first, second)]
    if sizes[0] == sizes[1]:
        sys.exit("both configs have the same task_struct")
    for name, seconds in (("WALL", wall), ("CPU", cpu)):
        print("%s %s time of the second profile in %.4f s" % (time.strftime("%H:%M:%S"), name, seconds), file=sys.stderr)


if __name__ == "__main__":
    main()
