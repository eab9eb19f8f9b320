//! What a service manager sees of the real binary, and what it hands over.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use tempfile::TempDir;
use tokio::task::{JoinSet, spawn_blocking};

use crate::support::{Client, Process, Setup, chat, get, hello, scratch, within};

async fn folder(behaviour: Behaviour) -> (TempDir, Upstream) {
    let upstream = Upstream::builder().behaviour(behaviour).start().await;
    let toml = Setup::over(&upstream).toml();
    (scratch(&[("config.toml", &toml)]), upstream)
}

/// Reads what the manager is told until it is this; returns all of it.
async fn told(manager: &UnixDatagram, sought: &'static str) -> Vec<String> {
    let manager = manager.try_clone().unwrap();
    manager
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let reading = spawn_blocking(move || {
        let mut messages: Vec<String> = Vec::new();
        while messages.last().is_none_or(|last| last != sought) {
            let mut bytes = [0; 1024];
            let length = manager.recv(&mut bytes).expect("a message");
            let message = String::from_utf8_lossy(&bytes[..length]);
            messages.push(message.lines().next().unwrap().to_owned());
        }
        messages
    });
    reading.await.unwrap()
}

#[tokio::test]
async fn a_service_manager_is_told_what_the_process_does() {
    let (folder, _upstream) = folder(Behaviour::echo()).await;
    let path = folder.path().join("notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    let environment = [
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "200000"),
    ];
    let mut process = Process::start(folder.path(), &[], &environment).await;

    let start = told(&manager, "READY=1").await;
    let alive = told(&manager, "WATCHDOG=1").await;
    process.signal("HUP").await;
    let reloading = told(&manager, "RELOADING=1").await;
    let reloaded = told(&manager, "READY=1").await;
    process.signal("TERM").await;
    let stopping = told(&manager, "STOPPING=1").await;

    let signs = |messages: &[String]| {
        let signs = messages.iter().filter(|message| *message == "WATCHDOG=1");
        signs.count()
    };
    // Signs of life may come in between, and nothing else does.
    for messages in [&start, &alive, &reloading, &reloaded, &stopping] {
        assert!(messages.len() - signs(messages) <= 1, "{messages:?}");
    }
    assert_eq!(process.ended().await, Some(0));
}

#[tokio::test]
async fn a_service_manager_that_does_not_read_holds_nothing_up() {
    let (folder, _upstream) = folder(Behaviour::echo()).await;
    let path = folder.path().join("notify.sock");
    let _manager = UnixDatagram::bind(&path).unwrap();
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to(b"full", &path).is_ok() {}
    let environment = [
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "200000"),
    ];
    let mut process = Process::start(folder.path(), &[], &environment).await;

    process.signal("TERM").await;

    assert_eq!(process.ended().await, Some(0));
}

#[tokio::test]
async fn a_service_manager_without_a_file_is_told_as_well() {
    let (folder, _upstream) = folder(Behaviour::echo()).await;
    let name = format!("berry-{}", folder.path().display());
    let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let socket = format!("@{name}");

    let _process = Process::start(folder.path(), &[], &[("NOTIFY_SOCKET", &socket)]).await;

    assert_eq!(told(&manager, "READY=1").await, ["READY=1"]);
}

#[tokio::test]
async fn a_socket_that_does_not_listen_is_refused() {
    let (folder, _upstream) = folder(Behaviour::echo()).await;
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();

    let ended = Process::refused_on(&socket.into(), folder.path()).await;

    assert_eq!(ended.status.code(), Some(1));
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(told.contains("does not listen"), "{told}");
}

#[tokio::test]
async fn a_socket_that_is_handed_over_loses_no_request_in_a_restart() {
    let (folder, _upstream) = folder(Behaviour::echo().delay(Duration::from_millis(20))).await;
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut old = Process::start_on(&socket, folder.path()).await;
    assert_eq!(old.address(), address);
    let mut asking = JoinSet::new();
    for _ in 0..4 {
        asking.spawn(async move {
            for _ in 0..100 {
                let mut client = Client::connect(address).await;
                let answer = client.send(chat(hello().to_string())).await;
                assert_eq!(answer.status, 200);
            }
        });
    }

    let mut new = Process::start_on(&socket, folder.path()).await;
    old.signal("TERM").await;
    assert_eq!(old.ended().await, Some(0));
    within(asking.join_all()).await;

    let mut client = Client::connect(address).await;
    assert_eq!(client.send(get("/health/live")).await.status, 200);
    new.signal("TERM").await;
    drop(client);
    assert_eq!(new.ended().await, Some(0));
}
