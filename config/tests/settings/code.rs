//! How the code of flows is brought.

use std::time::Duration;

use crate::surroundings::Surroundings;

#[test]
fn code_is_kept_for_a_month_unless_the_settings_say_otherwise() {
    let code = Surroundings::new().load().settings.worker.code;
    assert!(code.cache && !code.offline_fallback);
    assert_eq!((code.cache_size_mib.get(), code.cache_age.as_secs()), (10_240, 30 * 24 * 3600));
    assert_eq!(code.timeout, Duration::from_mins(30));

    let file = "[code]\ncache = false\ncache_size_mib = 1\ncache_age_seconds = 60\noffline_fallback = true\n\
        timeout_seconds = 2.5\n";
    let surroundings = Surroundings::new().file("etc/worker/worker.toml", file).env("WORKER_CODE_CACHE", "true");
    let code = surroundings.load().settings.worker.code;
    assert!(code.cache && code.offline_fallback);
    assert_eq!((code.cache_size_mib.get(), code.cache_age), (1, Duration::from_mins(1)));
    assert_eq!(code.timeout, Duration::from_millis(2500));
}
