//! Lists and single objects: checks 37 to 46 and 48 to 50.

use serde_json::{Value, json};
use slipway_testkit::Backend;

use crate::support::{B, World, apart, g};

slipway_testkit::on_both_back_ends!(
    checks_37_to_40_a_list_is_read_page_by_page,
    check_41_any_limit_is_one,
    checks_42_and_43_any_cursor_is_one,
    checks_44_to_46_a_build_has_a_number_in_its_pipeline,
    checks_48_and_49_jobs_stand_behind_what_they_need,
    check_50_a_job_is_one_of_its_build,
);

async fn page(world: &World, query: &str) -> (Vec<i64>, Option<String>) {
    let list = world.ana.get(&format!("{B}?{query}")).await.is(200).json();
    assert_eq!(list.as_object().unwrap().len(), 2, "{list}");
    let data = list["data"].as_array().unwrap().iter();
    let numbers = data.map(|build| build["number"].as_i64().unwrap());
    (
        numbers.collect(),
        list["next_cursor"].as_str().map(str::to_owned),
    )
}

async fn checks_37_to_40_a_list_is_read_page_by_page(backend: Backend) {
    let world = World::start(backend).await;
    let empty = json!({"version": "0"});
    for _ in 0..2 {
        world.build(&empty).await;
    }
    assert_eq!(page(&world, "limit=2").await, (vec![2, 1], None));
    world.build(&empty).await;
    assert_eq!(page(&world, "").await, (vec![3, 2, 1], None));
    let (first, cursor) = page(&world, "limit=2").await;
    let cursor = cursor.expect("more");
    assert_eq!(first, [3, 2]);
    world.build(&empty).await;
    let rest = page(&world, &format!("limit=2&cursor={cursor}")).await;
    assert_eq!(rest, (vec![1], None));
}

async fn check_41_any_limit_is_one(backend: Backend) {
    let world = World::start(backend).await;
    let empty = json!({"version": "0"});
    for _ in 0..120 {
        world.build(&empty).await;
    }
    for (query, length) in [
        ("", 50),
        ("limit=1000", 100),
        ("limit=99999999999999999999", 100),
        ("limit=0", 1),
        ("limit=-3", 1),
        ("limit=abc", 50),
    ] {
        assert_eq!(page(&world, query).await.0.len(), length, "{query}");
    }
}

async fn checks_42_and_43_any_cursor_is_one(backend: Backend) {
    let world = World::start(backend).await;
    let none = world.ana.get(B).await.is(200).json();
    assert_eq!(none, json!({"data": [], "next_cursor": null}));
    world.build(&json!({"version": "0"})).await;
    for query in ["cursor=garbage", "cursor=", "cursor=%FF"] {
        assert_eq!(page(&world, query).await, (vec![1], None), "{query}");
    }
}

async fn checks_44_to_46_a_build_has_a_number_in_its_pipeline(backend: Backend) {
    let world = World::start(backend).await;
    world.of_source().await;
    world.build(&g()).await;
    let list = world.ana.get(B).await.is(200).json();
    assert_eq!(list["data"][0], world.read(1).await);
    let huge = "99999999999999999999";
    for number in ["999", "0", "-1", "abc", "1.0", huge, "1%20"] {
        let answer = world.ana.get(&format!("{B}/{number}")).await;
        answer.error(404, "not_found", "build_not_found");
    }
    let other = B.replace("web", "acme-web-ci");
    let answer = world.ana.get(&format!("{other}/1")).await;
    answer.error(404, "not_found", "build_not_found");
}

async fn checks_48_and_49_jobs_stand_behind_what_they_need(backend: Backend) {
    let world = World::start(backend).await;
    let mut graph = g();
    graph["steps"].as_array_mut().unwrap().reverse();
    let number = world.build(&graph).await;
    let jobs = world.jobs(number).await;
    let keys: Vec<&Value> = jobs.iter().map(|job| &job["step_key"]).collect();
    assert_eq!(keys, ["a", "b"]);
    assert_eq!(jobs[0]["depends_on"], json!([]));
    assert_eq!(jobs[1]["depends_on"], json!([jobs[0]["id"]]));
    for job in &jobs {
        assert_eq!(job.as_object().unwrap().len(), 15, "{job}");
        assert_eq!(job["soft_failed"], false);
        for key in [
            "exit_code",
            "soft_fail_policy",
            "retry_policy",
            "error_code",
        ] {
            assert_eq!(job.get(key), Some(&Value::Null), "{key}");
        }
    }
    assert_eq!(
        (&jobs[0]["name"], &jobs[1]["name"]),
        (&json!(null), &json!("B"))
    );
}

async fn check_50_a_job_is_one_of_its_build(backend: Backend) {
    let world = World::start(backend).await;
    let (first, second) = (world.build(&g()).await, world.build(&apart(&["x"])).await);
    let job = world.jobs(first).await.remove(0);
    let id = job["id"].as_str().unwrap();
    let own = world.ana.get(&format!("{B}/{first}/jobs/{id}")).await;
    assert_eq!(own.is(200).json(), job);
    let random = "0190a5d0-ac96-4b4b-8cce-b302099a8057";
    for (number, id) in [(second, id), (first, random), (first, "xyz")] {
        let answer = world.ana.get(&format!("{B}/{number}/jobs/{id}")).await;
        answer.error(404, "not_found", "job_not_found");
    }
}
