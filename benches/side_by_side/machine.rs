//! Where it was measured, and what.

use std::process::Command;

/// Processor, how many of them, and kernel.
pub fn description() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("", |(_, model)| model);
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel: String = kernel.trim().chars().take_while(|sign| sign.is_ascii_digit() || *sign == '.').collect();
    format!("{count} × {}, Linux {kernel}", model.trim())
}

/// What the programs say about their versions.
pub fn versions() -> Vec<String> {
    [["memcached", "-V"], ["nutcracker", "-V"]]
        .iter()
        .filter_map(|[program, flag]| {
            let output = Command::new(program).arg(flag).output().ok()?;
            let text = [output.stdout, output.stderr].concat();
            Some(String::from_utf8_lossy(&text).lines().next()?.trim().to_owned())
        })
        .collect()
}
