use super::*;

#[test]
fn missing_and_unknown_members_are_accepted() {
    let empty: ClaimRequest = serde_json::from_str("{}").unwrap();
    assert!(empty.info.is_none() && empty.token.is_none());
    let old = r#"{"info":{"features":{"variables":true},"other":1},"token":"t","extra":[]}"#;
    let old: ClaimRequest = serde_json::from_str(old).unwrap();
    let features = old.info.and_then(|info| info.features).unwrap();
    assert!(features.variables && !features.heartbeat);
}

#[test]
fn tag_lists_and_booleans_are_read_in_every_json_type() {
    let read = |text: &str| serde_json::from_str::<RegisterRequest>(text).unwrap();
    assert_eq!(
        read(r#"{"tag_list":["a","b"]}"#).tag_list.as_deref(),
        Some("a,b")
    );
    assert_eq!(
        read(r#"{"tag_list":"a, b"}"#).tag_list.as_deref(),
        Some("a, b")
    );
    assert_eq!(read(r#"{"tag_list":null}"#).tag_list, None);
    assert_eq!(
        read(r#"{"run_untagged":"false"}"#).run_untagged,
        Some(false)
    );
    assert_eq!(read(r#"{"run_untagged":true}"#).run_untagged, Some(true));
    assert!(serde_json::from_str::<RegisterRequest>(r#"{"run_untagged":"maybe"}"#).is_err());
}
