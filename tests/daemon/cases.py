"""The cases of a test program: `@case` puts one down, `run` runs those that are named, or all; none hides the others."""
import concurrent.futures
import traceback

CASES = []


def case(function):
    CASES.append(function)
    return function


def check(condition, what="not so"):
    if not condition:
        raise AssertionError(what)


def run_one(function):
    """Whether it did well; what it found is printed."""
    try:
        function()
        print(f"[       OK ] {function.__name__}", flush=True)
        return True
    except Exception as error:  # a case that ends in whatever way has failed
        traceback.print_exc()
        print(f"[  FAILED  ] {function.__name__}: {error}", flush=True)
        return False


def run(names, at_once=1):
    """The exit code; `at_once`: how many at a time, more than one for cases that mostly wait, each with a server of its own."""
    chosen = [function for function in CASES if not names or function.__name__ in names]
    for function in chosen:
        print(f"[ RUN      ] {function.__name__}", flush=True)
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        return 0 if all(list(pool.map(run_one, chosen))) else 1
