use uuid::Uuid;

use super::*;

const INTERVAL: Duration = Duration::from_secs(2);

fn run(number: u128) -> RunId {
    RunId(Uuid::from_u128(number))
}

fn queue(batch_bytes: usize) -> Queue {
    Queue::new(batch_bytes, INTERVAL, 0)
}

fn batch(queue: &Queue, most: usize) -> (usize, String) {
    let (lines, body) = queue.batch(most).unwrap();
    (lines, String::from_utf8(body).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_line_waits_for_others_but_not_longer_than_the_interval() {
    let mut queue = queue(100);
    let now = Instant::now();
    assert_eq!(queue.due(), Due::Never);
    assert!(queue.push(None, "1".to_owned(), now));
    assert!(!queue.push(None, "2".to_owned(), now + INTERVAL), "the first one's time counts");
    assert_eq!(queue.due(), Due::At(now + INTERVAL));
    assert!(queue.push(None, "3".repeat(100), now), "a full batch is due at once");
    assert_eq!(queue.due(), Due::Now);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_bounded_in_bytes_and_lines_and_has_one_line_at_least() {
    let mut queue = queue(10);
    for line in ["111", "222", "333", "4444444444444"] {
        queue.push(None, line.to_owned(), Instant::now());
    }
    assert_eq!(batch(&queue, usize::MAX), (2, "[111,222]".to_owned()));
    assert_eq!(batch(&queue, 1), (1, "[111]".to_owned()));
    assert_eq!(queue.delivered(2, Instant::now()), 2);
    assert_eq!(queue.delivered(1, Instant::now()), 3);
    assert_eq!(batch(&queue, usize::MAX), (1, "[4444444444444]".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn flushing_a_run_makes_due_what_lies_before_its_last_line() {
    let mut queue = queue(1000);
    for number in [1, 2, 1, 3] {
        queue.push(Some(run(number)), "x".to_owned(), Instant::now());
    }
    assert_eq!(queue.flush_run(run(9)), 0);
    assert!(matches!(queue.due(), Due::At(_)));
    assert_eq!(queue.flush_run(run(1)), 3);
    assert_eq!(queue.due(), Due::Now);
    queue.delivered(3, Instant::now());
    assert!(matches!(queue.due(), Due::At(_)), "the fourth line still waits");
    assert_eq!(queue.flush_all(), 4);
    assert_eq!(queue.due(), Due::Now);
}

#[tokio::test(start_paused = true)]
async fn lines_lost_to_a_full_queue_are_told_of_where_they_would_have_stood() {
    let mut queue = queue(usize::MAX);
    for _ in 0..MOST_LINES + 7 {
        queue.push(Some(run(1)), "1".to_owned(), Instant::now());
    }
    queue.push(Some(run(2)), "2".to_owned(), Instant::now());
    queue.delivered(MOST_LINES - 1, Instant::now());
    queue.push(Some(run(1)), "\"later\"".to_owned(), Instant::now());
    let (lines, body) = batch(&queue, usize::MAX);
    assert_eq!(lines, 4);
    let lines: Vec<serde_json::Value> = serde_json::from_str(&body).unwrap();
    assert!(lines[1]["message"].as_str().unwrap().ends_with("take them: 7"), "{body}");
    assert_eq!(lines[1]["flow_run_id"], run(1).to_string());
    assert!(lines[2]["message"].as_str().unwrap().ends_with("take them: 1"));
    assert_eq!(lines[3], "later");
}

#[tokio::test(start_paused = true)]
async fn a_refused_line_is_told_of_and_a_refused_notice_is_not() {
    let mut queue = queue(1000);
    queue.push(Some(run(1)), "odd".to_owned(), Instant::now());
    assert_eq!(queue.refused(1, Instant::now()), 1);
    assert!(batch(&queue, 9).1.contains("take them: 1"));
    assert_eq!(queue.refused(1, Instant::now()), 2);
    assert!(queue.batch(9).is_none());
}

#[tokio::test(start_paused = true)]
async fn closing_counts_everything_that_was_not_delivered() {
    let mut queue = queue(1000);
    queue.push(Some(run(1)), "1".to_owned(), Instant::now());
    queue.push(None, "2".to_owned(), Instant::now());
    queue.close(Instant::now());
    assert_eq!(queue.abandon(), 2);
    assert!(!queue.push(None, "3".to_owned(), Instant::now()));
    assert!(queue.batch(9).is_none());
}

#[tokio::test(start_paused = true)]
async fn lines_read_back_from_the_spool_are_due_at_once_and_go_first() {
    let mut queue = Queue::new(1000, INTERVAL, 2);
    queue.push(Some(run(1)), "3".to_owned(), Instant::now());
    assert_eq!(queue.due(), Due::Now);
    assert!(queue.batch(9).is_none(), "they were not read back yet");
    queue.backlog_mut().read(["1", "2"].map(|json| Queue::entry(json.to_owned())));
    assert_eq!(batch(&queue, 9), (2, "[1,2]".to_owned()));
    assert_eq!(queue.flush_run(run(1)), 3);
    assert_eq!(queue.delivered(2, Instant::now()), 2);
    assert_eq!(batch(&queue, 9), (1, "[3]".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn lines_dropped_from_a_full_spool_are_told_of_with_the_time_of_the_last() {
    let mut queue = queue(1000);
    let line = |second| LogLine {
        timestamp: Timestamp::from_second(second).unwrap(),
        ..notice(run(1), &Loss { lines: 9, at: None })
    };
    queue.count_dropped([4, 5].map(|second| serde_json::to_string(&line(second)).unwrap()).into());
    queue.close(Instant::now());
    let told: Vec<LogLine> = serde_json::from_str(&batch(&queue, 9).1).unwrap();
    assert!(told[0].message.ends_with("take them: 2"));
    assert_eq!(told[0].timestamp, Timestamp::from_second(5).unwrap());
}
