use tokio::time::advance;

use super::*;

/// The pause, in ms, after a round in which the connection was ready for this time; `None`: it was never ready.
async fn pause(state: &mut BusState, ready: Option<Duration>) -> u128 {
    const URL: &str = "nats://a:1";
    if let Some(ready) = ready {
        state.connected(URL, 0);
        advance(ready / 2).await;
        // An answer to a PING.
        state.connected(URL, 0);
        advance(ready / 2).await;
    }
    let fault = NatsFault {
        failure: Failure::Refused,
        cause: String::new(),
    };
    state.fail(URL, 0, fault);
    state.pause().as_millis()
}

#[tokio::test(start_paused = true)]
async fn pause_grows_until_a_connection_was_ready_for_a_second() {
    let mut state = BusState {
        faults: vec![None],
        ..BusState::default()
    };
    for expected in [250, 500, 1_000, 2_000, 4_000, 8_000] {
        assert_eq!(pause(&mut state, None).await, expected);
    }
    // A server that accepts and closes at once, or soon.
    assert_eq!(pause(&mut state, Some(Duration::ZERO)).await, 16_000);
    assert_eq!(pause(&mut state, Some(USED / 2)).await, 16_000);
    assert_eq!(pause(&mut state, Some(USED)).await, 250);
    // Time without a connection counts as no use.
    advance(10 * MOST_PAUSE).await;
    assert_eq!(pause(&mut state, None).await, 500);
}
