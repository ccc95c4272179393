//! What the server says of itself: OpenAPI, its page, health, figures; how it starts and ends.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;

use crate::support::{Setup, served};

/// Every `#[get("/…")]` and its kin below `src`.
fn routes_in(folder: &Path, found: &mut BTreeSet<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            routes_in(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for method in ["get", "post", "patch", "delete"] {
                for rest in text.split(&format!("#[{method}(\"")).skip(1) {
                    found.insert((method.to_owned(), rest.split('"').next().unwrap().to_owned()));
                }
            }
            for rest in text.split("step!(").skip(1).filter(|rest| rest.contains("\"/operator")) {
                found.insert(("post".to_owned(), rest.split('"').nth(1).unwrap().to_owned()));
            }
        }
    }
}

served! {
    async fn the_document_lists_exactly_the_routes_that_exist(app: &mut TestApp) {
        let document = app.get("/openapi.json").await.expect(200).json;
        let mut listed = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for method in operations.as_object().unwrap().keys().filter(|name| *name != "parameters") {
                listed.insert((method.clone(), path.clone()));
            }
        }
        let mut written = BTreeSet::new();
        routes_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut written);
        assert_eq!(listed, written);
        for (method, path) in &listed {
            let address: String = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect::<Vec<_>>().join("/");
            let answer = app.request(method.to_uppercase().parse().unwrap(), &address).await;
            assert_ne!(answer.status, 405, "{method} {path}");
        }
        // The figures name the route that took each request; a request that no route took is `none`.
        let figures = app.get("/metrics").await.expect(200).text;
        for (method, path) in &listed {
            if path == "/metrics" {
                continue;
            }
            let label = [format!("route=\"{path}\""), format!("method=\"{}\"", method.to_uppercase())];
            let taken = figures.lines().any(|line| line.starts_with("liebian_http_requests_total") && label.iter().all(|part| line.contains(part)));
            assert!(taken, "no route took {method} {path}");
        }
    }

    async fn the_committed_document_is_the_one_that_is_served(app: &mut TestApp) {
        let committed = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json")).unwrap_or_default();
        let served = app.get("/openapi.json").await.expect(200).json;
        let committed: serde_json::Value = serde_json::from_str(&committed).unwrap_or_default();
        assert!(committed == served, "docs/openapi.json is not what is served: `make openapi` renews it");
    }

    async fn every_body_and_every_good_answer_has_an_example(app: &mut TestApp) {
        let document = crate::support::Document::of(app).await;
        for operation in document.operations() {
            let content = &operation.said["requestBody"]["content"];
            let patch = operation.method == "PATCH";
            assert_eq!(content["application/merge-patch+json"], if patch { content["application/json"].clone() } else { json!(null) });
            let body = &operation.said["requestBody"]["content"]["application/json"];
            assert!(body.is_null() || body["example"].is_object(), "the body of {}", operation.id);
            for (status, response) in operation.said["responses"].as_object().unwrap() {
                let answer = &document.resolved(response)["content"]["application/json"];
                assert!(!status.starts_with('2') || answer.is_null() || answer["example"].is_object(), "{status} of {}", operation.id);
            }
        }
    }

    async fn the_document_resolves_and_names_problems_and_callers(app: &mut TestApp) {
        let answer = app.get("/openapi.json").await.expect(200);
        for reference in answer.text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(answer.json.pointer(pointer).is_some(), "{pointer} is nowhere");
        }
        let open = &answer.json["paths"]["/v1/campaigns/{id}/rooms"]["post"];
        assert_eq!(open["security"], json!([{"session": [], "device": []}]));
        assert!(open["responses"]["409"]["content"]["application/problem+json"].is_object(), "{open}");
    }

    async fn the_documents_page_needs_nothing_from_elsewhere(app: &mut TestApp) {
        let moved = app.get("/docs").await;
        assert!((301..=308).contains(&moved.status) && moved.header("location") == Some("/docs/"), "{}", moved.status);
        let page = app.get("/docs/").await.expect(200).text;
        let mut parts = 0;
        for attribute in ["src=\"", "href=\""] {
            for rest in page.split(attribute).skip(1) {
                let target = rest.split('"').next().unwrap();
                assert!(!target.contains("//"), "{target} is elsewhere");
                app.get(&format!("/docs/{}", target.trim_start_matches("./"))).await.expect(200);
                parts += 1;
            }
        }
        assert!(parts > 3, "{page}");
        let start = app.get("/docs/swagger-initializer.js").await.expect(200).text;
        assert!(start.contains("/openapi.json") && !start.contains("https://"), "{start}");
        // On a public host the page would otherwise send the document to its makers' validator.
        assert!(start.contains("\"validatorUrl\": \"none\""), "{start}");
    }

    async fn health_and_figures_are_there_for_machines(app: &mut TestApp) {
        app.get("/health/live").await.expect(200);
        let ready = app.get("/health/ready").await.expect(200).json;
        assert_eq!(ready["ready"], true);
        assert!(ready["checks"].as_array().unwrap().iter().all(|check| check["ok"] == true), "{ready}");
        let campaign = app.publish(&json!({})).await;
        app.opened_and_paid(&campaign).await;
        app.get("/v1/campaigns/nonsense").await.refused(404, "not_found");
        let figures = app.get("/metrics").await.expect(200);
        assert!(figures.header("content-type").unwrap().starts_with("text/plain"));
        assert!(figures.text.contains("liebian_problems_total{code=\"not_found\"}"), "{}", figures.text);
        assert!(!figures.text.contains(campaign.split_at(4).1), "no figure is named by what callers make");
    }

    async fn a_redis_that_may_forget_is_not_ready(app: &mut TestApp) {
        let mut redis = app.redis_connection().await;
        let () = redis::cmd("CONFIG").arg("SET").arg("appendfsync").arg("everysec").query_async(&mut redis).await.unwrap();
        let ready = app.get("/health/ready").await.expect(503);
        assert!(ready.header("retry-after").is_some());
        let ready = ready.json;
        let check = ready["checks"].as_array().unwrap().iter().find(|check| check["name"] == "redis").unwrap();
        assert!(check["detail"].as_str().unwrap().contains("appendfsync"), "{check}");
        let () = redis::cmd("CONFIG").arg("SET").arg("appendfsync").arg("always").query_async(&mut redis).await.unwrap();
        app.get("/health/ready").await.expect(200);
    }

    async fn sigterm_ends_open_waits_and_what_was_answered_stays(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (ada, seat) = app.opened_and_paid(&campaign).await;
        let path = format!("/v1/rooms/{}", seat.room);
        let etag = app.get(&path).await.expect(200).header("etag").unwrap().to_owned();
        let waiting = app.get(&format!("{path}?wait_seconds=25")).header("If-None-Match", &etag);
        let waiting = tokio::spawn(waiting.try_send());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        app.stop().await;
        assert_eq!(waiting.await.unwrap().expect("an answer before the end").status, 304);
        app.restart_with(Setup::default()).await;
        assert_eq!(app.state_of(&ada, &seat.order).await, "paid");
    }
}
