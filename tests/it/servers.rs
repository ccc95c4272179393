//! The servers the tests stand on keep their own promises.

use std::path::Path;
use std::time::Duration;

use crate::support::{Redis, valkey_server};

async fn survives_a_kill(mut server: Redis) {
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let () = redis::cmd("SET").arg("k").arg("v").query_async(&mut connection).await.unwrap();
    server.kill();
    server.restart().await;
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let value: String = redis::cmd("GET").arg("k").query_async(&mut connection).await.unwrap();
    assert_eq!(value, "v");
    assert!(server.data_dir().join("appendonlydir").exists());
}

#[tokio::test]
async fn redis_keeps_what_it_acknowledged_when_killed() {
    survives_a_kill(Redis::start().await).await;
}

#[tokio::test]
async fn valkey_keeps_what_it_acknowledged_when_killed() {
    survives_a_kill(Redis::start_with(&valkey_server(), &[]).await).await;
}

#[tokio::test]
async fn a_stopped_redis_says_nothing_until_it_goes_on() {
    let server = Redis::start_with(Path::new("redis-server"), &[("appendfsync", "everysec")]).await;
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    server.stop();
    let mut other = connection.clone();
    let asked = async move { redis::cmd("PING").query_async::<String>(&mut other).await };
    assert!(tokio::time::timeout(Duration::from_millis(100), asked).await.is_err());
    server.cont();
    let setting: Vec<String> = redis::cmd("CONFIG").arg("GET").arg("appendfsync").query_async(&mut connection).await.unwrap();
    assert_eq!(setting, ["appendfsync", "everysec"]);
}
