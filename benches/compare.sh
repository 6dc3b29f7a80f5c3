#!/usr/bin/env bash
# Compares lanekeeper's two clients with a bare rdkafka loop (benches/bare.rs), another program (PEER), and Kafka's own
# kafka-producer-perf-test, on one Kafka.
#
#   BOOTSTRAP=127.0.0.1:9092 [PEER=program] [ROUNDS=3] [SECONDS_=10] benches/compare.sh guide|max
#
#   guide   1,024 producers x 2 msg/s of 100 B to 18 partitions, a consumer for each, for SECONDS_ after 3 s of warmup
#   max     COUNT (3 million) messages of 100 B at the maximum rate, linger 5 ms
#
# Programs take turns (A B C A B C …), because runs on a shared machine differ by tens of per cent: compare only figures
# of one call. CPU is user + system of the whole process, start and end included, as the system counts it. RSS is the
# largest that the program itself prints; for Java, that the system counts.
#
# Commands and versions are printed first, and what lanekeeper told its clients last. All that is printed, the output of
# each program and the figures of each round are kept in benches/runs/DATE-MODE (RUNS gives another directory).
#
# PEER is started with `-brokers HOST:PORT -topic NAME -mode assign -producer-clients CLIENTS -compression none` and
#   guide   -seconds S -warmup W
#   max     -rate 0 -count COUNT -linger 5ms
# on a topic that exists, and has to print a JSON object with `msgs_per_s`, `max_rss_kib`, `received` and
# `from_actual_send`: {`p50`, `p99`} (actual send to processed, in microseconds). Its exit code is ignored.
#
# kafka-producer-perf-test only produces: its times end with the acknowledgement, and its CPU includes no consumers.
#
#   CLIENTS      number of producing clients of native, rdkafka and the peer: 1, or 1024 (one for each producer)
#   PROGRAMS     the programs, as in PROGRAMS="native rdkafka"; the others are compared with the first
#   LANEKEEPER   a program to run instead of target/release/lanekeeper
#   ARGUMENTS    more arguments for it, as in ARGUMENTS="--set client.producer.linger.ms=1"
#   BARE         a program to run instead of target/release/examples/bare
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. benches/local.sh

mode=${1:-}
case $mode in guide | max) ;; *)
  echo 'usage: BOOTSTRAP=127.0.0.1:9092 [PEER=program] [ROUNDS=3] [SECONDS_=10] benches/compare.sh guide|max' >&2
  exit 2
  ;;
esac
need_local_broker

CLIENTS=${CLIENTS:-1}
case $CLIENTS in 1 | 1024) ;; *)
  echo "error: CLIENTS is \`$CLIENTS\`: 1 or 1024" >&2
  exit 2
  ;;
esac
export CLIENTS
export PEER=${PEER:-} ROUNDS=${ROUNDS:-3} SECONDS_=${SECONDS_:-10} ARGUMENTS=${ARGUMENTS:-} COUNT=${COUNT:-3000000}
PROGRAMS=${PROGRAMS:-native rdkafka bare ${PEER:+peer} perf}
for program in $PROGRAMS; do
  case $program in native | rdkafka | bare | perf) ;; peer)
    [ -n "$PEER" ] || { echo 'error: PEER names no program' >&2; exit 2; }
    ;;
  *)
    echo "error: there is no \`$program\`: PROGRAMS has native, rdkafka, bare, peer and perf" >&2
    exit 2
    ;;
  esac
done
export PROGRAMS
# Needed even if `bare` is not in PROGRAMS, because it also creates and deletes the topics of `peer` and `perf`.
[ -n "${BARE:-}" ] || cargo build --locked --quiet --release --example bare
need_lanekeeper
export BARE=${BARE:-target/release/examples/bare}
export RUNS=${RUNS:-benches/runs/$(date -u +%Y%m%d-%H%M%S)-$mode}

exec python3 - "$mode" <<'PYTHON'
import json, os, platform, re, shlex, statistics, subprocess, sys, time

mode = sys.argv[1]
env = os.environ
bootstrap, bare, peer, runs_in = env["BOOTSTRAP"], env["BARE"], env["PEER"], env["RUNS"]
seconds, warmup, count = int(env["SECONDS_"]), 3, int(env["COUNT"])
rate, partitions, size = 2_048, 18, 100
RUN_SECONDS_MAX = 180


def ended(command, name):
    """Runs a program; returns its stdout, and what the system says it used."""
    out, log = os.path.join(runs_in, f"{name}.out"), os.path.join(runs_in, f"{name}.log")
    with open(out, "w") as stdout, open(log, "w") as stderr:
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr)
        deadline = time.monotonic() + RUN_SECONDS_MAX
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                process.kill()
                deadline = float("inf")
            time.sleep(0.05)
        process.returncode = os.waitstatus_to_exitcode(status)
    text = open(out).read()
    if not text.strip():
        sys.exit(f"error: {command[0]} ended with {process.returncode} and no result:\n{open(log).read()[-2000:]}")
    return text, usage


def measured(command, name):
    """Runs a program that prints a JSON object; returns that, and its CPU seconds."""
    text, usage = ended(command, name)
    # Other lines may precede the object.
    for start in (text.find("{"), text.rfind("\n{") + 1):
        try:
            return json.JSONDecoder().raw_decode(text[start:])[0], usage.ru_utime + usage.ru_stime
        except ValueError:
            continue
    sys.exit(f"error: {command[0]} printed no JSON object: {os.path.join(runs_in, name)}.out")


def lanekeeper_command(client, directory):
    scenario = "scenarios/guide-option-2.toml" if mode == "guide" else "scenarios/max-rate.toml"
    command = [env["LANEKEEPER"], "run", scenario, "--bootstrap", bootstrap, "--client", client, "--format", "json"]
    command += ["--out", directory, *shlex.split(env["ARGUMENTS"])]
    if env["CLIENTS"] != "1":
        command += ["--set", "load.clients=producer"]
    if mode == "guide":
        return command + ["--set", f"run.warmup={warmup}s", "--set", f"run.duration={seconds}s"]
    return command + ["--set", f"load.messages={count}", "--set", f'expect.delivered="{count}"']


def run_lanekeeper(client, name):
    result, cpu = measured(lanekeeper_command(client, os.path.join(runs_in, f"{name}.result")), name)
    ledger, service = result["ledger"], result["latency_us"]["service"]
    wrong = {key: ledger[key] for key in ("lost", "duplicated", "reordered", "corrupt") if ledger[key]}
    note = result["verdict"] if not wrong else f"{result['verdict']} {wrong}"
    return {"cpu": cpu, "rss": result["cost"]["rss_max_bytes"], "p50": service["p50"], "p99": service["p99"],
            "rate": result["achieved_per_s"], "note": note + (f", {result['bottleneck']}" if mode == "max" else "")}


def bare_command(topic):
    command = [bare, "--bootstrap", bootstrap, "--topic", topic]
    if mode == "guide":
        return command + ["--seconds", str(seconds), "--warmup", str(warmup)]
    return command + ["--rate", "0", "--count", str(count), "--linger-ms", "5"]


def run_bare(topic, name):
    result, cpu = measured(bare_command(topic), name)
    return {"cpu": cpu, "rss": result["rss_max_bytes"], "p50": result["p50_us"], "p99": result["p99_us"],
            "rate": result["msgs_per_s"], "note": "" if result["received"] == result["sent"] else "lost records"}


def peer_command(topic):
    command = [peer, "-brokers", bootstrap, "-topic", topic, "-mode", "assign"]
    command += ["-producer-clients", env["CLIENTS"]]
    command += ["-compression", "none"]
    if mode == "guide":
        return command + ["-seconds", str(seconds), "-warmup", str(warmup)]
    return command + ["-rate", "0", "-count", str(count), "-linger", "5ms"]


def run_peer(topic, name):
    result, cpu = measured(peer_command(topic), name)
    actual = result["from_actual_send"]
    complete = mode == "guide" or result["received"] == count
    return {"cpu": cpu, "rss": result["max_rss_kib"] * 1024, "p50": actual["p50"], "p99": actual["p99"],
            "rate": result["msgs_per_s"], "note": "" if complete else "lost records"}


def perf_command(topic):
    records, throughput, linger = (count, -1, 5) if mode == "max" else (rate * (seconds + warmup), rate, 0)
    command = ["tests/kafka.sh", "run", "org.apache.kafka.tools.ProducerPerformance", "--topic", topic]
    command += ["--num-records", str(records), "--record-size", str(size), "--throughput", str(throughput)]
    return command + ["--producer-props", f"bootstrap.servers={bootstrap}", "acks=all", "enable.idempotence=true",
                      f"linger.ms={linger}", "compression.type=none"]


def run_perf(topic, name):
    text, usage = ended(perf_command(topic), name)
    last = text.strip().splitlines()[-1]
    found = re.search(r"([\d.]+) records/sec .* ([\d.]+) ms 50th, .* ([\d.]+) ms 99th", last)
    if not found:
        sys.exit(f"error: kafka-producer-perf-test says something else: {last}")
    achieved, p50, p99 = (float(figure) for figure in found.groups())
    return {"cpu": usage.ru_utime + usage.ru_stime, "rss": usage.ru_maxrss * 1024, "p50": p50 * 1e3, "p99": p99 * 1e3,
            "rate": achieved, "note": "produces only; whole ms, to the acknowledgement"}


def on_topic(run, name):
    topic = f"compare-{name}-{os.getpid()}-{time.time_ns()}"
    admin = [bare, "--bootstrap", bootstrap, "--topic", topic]
    subprocess.run([*admin, "--create"], check=True)
    try:
        return run(topic, name)
    finally:
        subprocess.run([*admin, "--delete"], check=False)


every = {"native": (lambda name: run_lanekeeper("native", name), lanekeeper_command("native", "DIR")),
         "rdkafka": (lambda name: run_lanekeeper("rdkafka", name), lanekeeper_command("rdkafka", "DIR")),
         "bare": (lambda name: on_topic(run_bare, name), bare_command("TOPIC")),
         "peer": (lambda name: on_topic(run_peer, name), peer_command("TOPIC")),
         "perf": (lambda name: on_topic(run_perf, name), perf_command("TOPIC"))}
programs = {name: every[name] for name in env["PROGRAMS"].split()}
first = next(iter(programs))
columns = [("cpu", "CPU s", 1, "{:.2f}"), ("rss", "RSS MiB", 2**20, "{:.1f}"), ("p50", "service p50 ms", 1e3, "{:.3f}"),
           ("p99", "service p99 ms", 1e3, "{:.2f}"), ("rate", "msg/s", 1, "{:,.0f}")]
os.makedirs(runs_in)
kept = open(os.path.join(runs_in, "summary.txt"), "w")


def say(text=""):
    print(text, flush=True)
    print(text, file=kept, flush=True)


def first_line(command):
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return ((output.stdout or output.stderr).strip().splitlines() or ["unknown"])[0]
    except OSError as error:
        return str(error)


def shown(figures):
    return "".join(f"{template.format(figures[key] / scale):>20}" for key, _, scale, template in columns)


def say_settings():
    say(f"mode {mode}, {env['ROUNDS']} rounds, {partitions} partitions, {size} B, compression none")
    say(f"machine: {os.cpu_count()} CPUs, {platform.platform()}, load average {os.getloadavg()[0]:.1f}")
    say(f"commit: {first_line(['git', 'describe', '--always', '--dirty'])}; {first_line([env['LANEKEEPER'], '--version'])}")
    java = env["JAVA_HOME"] + "/bin/java" if env.get("JAVA_HOME") else "java"
    say(f"java: {first_line([java, '-version'])}; broker: {bootstrap}")
    for name, (_, command) in programs.items():
        # Without the program's directory, so that outputs of different machines can be compared.
        say(f"  {name:<10}{shlex.join([os.path.basename(command[0]), *command[1:]])}")


def client_settings(name):
    """Prints the settings of lanekeeper's client that its result lists."""
    try:
        result = json.load(open(os.path.join(runs_in, f"1-{name}.result", "result.json")))
    except (OSError, ValueError):
        return
    told = {key: its["value"] for key, its in result["client_config"].items() if its["origin"] != "client"}
    if name == "native":
        # The result of the native client lists no properties, but how it sent.
        told = {key: result["sending"][key] for key in ("acks", "idempotence", "linger_ms", "compression")}
    told = " ".join(f"{key}={value}" for key, value in told.items() if not key.endswith("bootstrap.servers"))
    say(f"  {name}, what it was told beyond its defaults: {told}")


say_settings()
say()
say(f"{'':<18}" + "".join(f"{title:>20}" for _, title, _, _ in columns))
runs = {name: [] for name in programs}
for number in range(1, int(env["ROUNDS"]) + 1):
    for name, (run, _) in programs.items():
        figures = run(f"{number}-{name}")
        runs[name].append(figures)
        json.dump(runs, open(os.path.join(runs_in, "figures.json"), "w"), indent=1)
        say(f"{number} {name:<16}{shown(figures)}  {figures['note']}")
        time.sleep(1)

say("\nmedians (smallest - largest)")
median = {}
for name, all_figures in runs.items():
    of = {key: [figures[key] for figures in all_figures] for key, *_ in columns}
    median[name] = {key: statistics.median(values) for key, values in of.items()}
    say(f"  {name:<16}{shown(median[name])}")
    say(f"  {'':<16}" + "".join(
        f"{template.format(min(of[key]) / scale) + ' - ' + template.format(max(of[key]) / scale):>20}"
        for key, _, scale, template in columns))
say(f"\nratios of the medians, and of each round (smallest - largest): {first} / other")
for name in list(programs)[1:]:
    # A program that prints whole milliseconds can print 0, with which there is no ratio.
    of = {key: [a[key] / b[key] for a, b in zip(runs[first], runs[name]) if b[key]] for key, *_ in columns}
    ratio = {key: f"{median[first][key] / median[name][key]:.2f}" if median[name][key] else "-" for key, *_ in columns}
    range_of = {key: f"{min(of[key]):.2f} - {max(of[key]):.2f}" if of[key] else "-" for key, *_ in columns}
    say(f"  {'/ ' + name:<16}" + "".join(f"{ratio[key]:>17}" for key, *_ in columns))
    say(f"  {'':<16}" + "".join(f"{range_of[key]:>20}" for key, *_ in columns))
say("\nsettings")
for name in programs:
    client_settings(name)
say(f"\nkept in {runs_in}")
PYTHON
