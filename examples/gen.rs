//! throwaway
#[path = "../benches/generate/mod.rs"]
mod generate;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let p = generate::Profile::ALL.into_iter().find(|p| p.name() == a[1]).unwrap();
    let l = generate::generate(p, a[2].parse::<usize>().unwrap() * 1_000_000, 1);
    std::io::Write::write_all(&mut std::io::stdout(), &l.bytes).unwrap();
}
