//! `health`, the argument by which a service's program asks the one that runs beside it how it is: for images without a shell or curl.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use crate::environment::Variables;
use crate::parse;

/// A service that does not answer so soon is not well.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks for `/healthz` where `HOST` and `PORT` say that the service listens, and tells what is wrong. Status 0 where all is well, else 1.
#[must_use]
pub fn run(name: &str, default_port: u16, variables: &Variables) -> ExitCode {
    let problem = address(default_port, variables).and_then(ask);
    let Err(problem) = problem else { return ExitCode::SUCCESS };
    // Whoever reads it may be gone.
    let _ = writeln!(std::io::stderr(), "{name}: {problem}");
    ExitCode::FAILURE
}

fn address(default_port: u16, variables: &Variables) -> Result<SocketAddr, String> {
    let port =
        variables.get("PORT").map_or(Ok(default_port), parse::port).map_err(|problem| format!("PORT: {problem}"))?;
    let host = variables.get("HOST").unwrap_or("127.0.0.1");
    let unusable = || format!("HOST: {host} is no address");
    let listens = (host, port).to_socket_addrs().map_err(|_| unusable())?.next().ok_or_else(unusable)?;
    let ip = match listens.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    Ok(SocketAddr::new(ip, port))
}

fn ask(address: SocketAddr) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("no answer from {address}: {error}");
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed)?;
    match answer.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(answer.split_once("\r\n\r\n").map_or("no HTTP", |(_, body)| body).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_asks_where_the_service_listens() {
        let of = |pairs: &[(&str, &str)]| address(3042, &pairs.iter().copied().collect()).map(|it| it.to_string());
        assert_eq!(of(&[]).as_deref(), Ok("127.0.0.1:3042"));
        assert_eq!(of(&[("HOST", "0.0.0.0"), ("PORT", "80")]).as_deref(), Ok("127.0.0.1:80"));
        assert_eq!(of(&[("HOST", "::")]).as_deref(), Ok("[::1]:3042"));
        assert_eq!(of(&[("HOST", "127.0.0.9")]).as_deref(), Ok("127.0.0.9:3042"));
        assert!(of(&[("PORT", "x")]).unwrap_err().starts_with("PORT: "));
    }
}
