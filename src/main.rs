//! The command line program.

fn main() -> lanekeeper::Exit {
    lanekeeper::cli::main()
}
