//! The command line program: parse, run, exit code; nothing else.

fn main() -> lanekeeper::Exit {
    lanekeeper::cli::main()
}
