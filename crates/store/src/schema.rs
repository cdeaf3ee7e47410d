//! The tables, the same on both back ends. Written by hand to match `migrations/`; a test compares
//! the columns. What a column means is documented where `migrations/` creates it.

diesel::table! {
    users (id) {
        id -> BigInt,
        name -> Text,
        admin -> Bool,
        active -> Bool,
        created_at -> BigInt,
        password_hash -> Nullable<Text>,
    }
}

diesel::table! {
    access_tokens (id) {
        id -> BigInt,
        user_id -> BigInt,
        name -> Text,
        hash -> Text,
        scopes -> Text,
        created_at -> BigInt,
        expires_at -> Nullable<BigInt>,
        revoked_at -> Nullable<BigInt>,
        last_used_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    namespaces (id) {
        id -> BigInt,
        name -> Text,
        created_at -> BigInt,
        max_builds -> Nullable<Integer>,
    }
}

diesel::table! {
    namespace_members (namespace_id, user_id) {
        namespace_id -> BigInt,
        user_id -> BigInt,
        role -> Text,
    }
}

diesel::table! {
    projects (id) {
        id -> BigInt,
        namespace_id -> BigInt,
        name -> Text,
        repo_url -> Text,
        default_branch -> Text,
        image_repository -> Nullable<Text>,
        shared_runners -> Bool,
        max_running -> Nullable<Integer>,
        created_at -> BigInt,
        description -> Text,
        visibility -> Text,
        public_builds -> Bool,
        builds_enabled -> Bool,
        created_by -> Nullable<BigInt>,
        read_only -> Bool,
        submodules -> Text,
        runners_nonce -> Nullable<Text>,
    }
}

diesel::table! {
    project_members (project_id, user_id) {
        project_id -> BigInt,
        user_id -> BigInt,
        role -> Text,
    }
}

diesel::table! {
    project_loads (project_id) {
        project_id -> BigInt,
        running -> Integer,
    }
}

diesel::table! {
    variables (id) {
        id -> BigInt,
        project_id -> BigInt,
        key -> Text,
        sealed -> Text,
        public -> Bool,
        created_at -> BigInt,
        file -> Bool,
    }
}

diesel::table! {
    deploy_keys (project_id) {
        project_id -> BigInt,
        server -> Text,
        public_key -> Nullable<Text>,
        known_hosts -> Nullable<Text>,
        username -> Nullable<Text>,
        sealed -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    registry_credentials (id) {
        id -> BigInt,
        namespace_id -> BigInt,
        registry -> Text,
        username -> Text,
        sealed -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    robots (id) {
        id -> BigInt,
        namespace_id -> BigInt,
        name -> Text,
        registry -> Text,
        sealed -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    runners (id) {
        id -> BigInt,
        token_hash -> Nullable<Text>,
        description -> Text,
        tags -> Text,
        run_untagged -> Bool,
        locked -> Bool,
        shared -> Bool,
        paused -> Bool,
        heartbeat -> Bool,
        name -> Nullable<Text>,
        version -> Nullable<Text>,
        revision -> Nullable<Text>,
        platform -> Nullable<Text>,
        architecture -> Nullable<Text>,
        executor -> Nullable<Text>,
        created_at -> BigInt,
        contact_at -> Nullable<BigInt>,
        removed_at -> Nullable<BigInt>,
        rev -> BigInt,
        platforms -> Nullable<Text>,
        image_archives -> Bool,
        unready -> Nullable<Text>,
        trust -> Nullable<Text>,
        notes -> Nullable<Text>,
    }
}

diesel::table! {
    runner_projects (runner_id, project_id) {
        runner_id -> BigInt,
        project_id -> BigInt,
    }
}

diesel::table! {
    runner_managers (runner_id, system_id) {
        runner_id -> BigInt,
        system_id -> Text,
        name -> Nullable<Text>,
        version -> Nullable<Text>,
        revision -> Nullable<Text>,
        platform -> Nullable<Text>,
        architecture -> Nullable<Text>,
        executor -> Nullable<Text>,
        created_at -> BigInt,
        contact_at -> BigInt,
    }
}

diesel::table! {
    registration_tokens (id) {
        id -> BigInt,
        hash -> Text,
        description -> Text,
        project_id -> Nullable<BigInt>,
        created_by -> Nullable<BigInt>,
        single_use -> Bool,
        created_at -> BigInt,
        expires_at -> Nullable<BigInt>,
        used_at -> Nullable<BigInt>,
        revoked_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    pipelines (id) {
        id -> BigInt,
        project_id -> BigInt,
        slug -> Text,
        definition -> Text,
        last_number -> BigInt,
        created_at -> BigInt,
        title -> Text,
        description -> Nullable<Text>,
        namespace_id -> Nullable<BigInt>,
        wide_slug -> Nullable<Text>,
        repo_name -> Nullable<Text>,
        source_slug -> Nullable<Text>,
        allow_manual -> Bool,
        from_repository -> Bool,
        archived_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    builds (id) {
        id -> BigInt,
        uuid -> Text,
        project_id -> BigInt,
        pipeline_id -> BigInt,
        number -> BigInt,
        sha -> Text,
        git_ref -> Nullable<Text>,
        ref_is_tag -> Bool,
        state -> Text,
        created_by -> Nullable<BigInt>,
        created_at -> BigInt,
        started_at -> Nullable<BigInt>,
        finished_at -> Nullable<BigInt>,
        variables -> Nullable<Text>,
        trigger_id -> Nullable<BigInt>,
        sole -> Bool,
        package -> Nullable<Text>,
        pull_login -> Nullable<Text>,
        message -> Nullable<Text>,
        cause -> Nullable<Text>,
        asked_commit -> Nullable<Text>,
        asked_branch -> Nullable<Text>,
        source_key -> Nullable<Text>,
        source_url -> Nullable<Text>,
        source_sha256 -> Nullable<Text>,
        error_code -> Nullable<Text>,
        error_message -> Nullable<Text>,
        called_off -> Bool,
        timeout_s -> Nullable<Integer>,
        deadline_at -> Nullable<BigInt>,
        trust -> Nullable<Text>,
    }
}

diesel::table! {
    queue_keys (id) {
        id -> BigInt,
        project_id -> BigInt,
        tags -> Text,
    }
}

diesel::table! {
    jobs (id) {
        id -> BigInt,
        build_id -> BigInt,
        project_id -> BigInt,
        queue_key_id -> BigInt,
        name -> Text,
        stage -> Text,
        spec -> Text,
        timeout_s -> Integer,
        allow_failure -> Bool,
        attempt -> Integer,
        retries_job_id -> Nullable<BigInt>,
        superseded -> Bool,
        priority -> Integer,
        state -> Text,
        phase -> Nullable<Text>,
        failure_reason -> Nullable<Text>,
        failure_message -> Nullable<Text>,
        runner_id -> Nullable<BigInt>,
        lease_expires_at -> Nullable<BigInt>,
        lease_ms -> Nullable<BigInt>,
        avoid_runner_id -> Nullable<BigInt>,
        avoid_until -> Nullable<BigInt>,
        created_at -> BigInt,
        queued_at -> Nullable<BigInt>,
        started_at -> Nullable<BigInt>,
        finished_at -> Nullable<BigInt>,
        erased_at -> Nullable<BigInt>,
        erased_by -> Nullable<BigInt>,
        rev -> BigInt,
        created_by -> Nullable<BigInt>,
        run_when -> Text,
        nonce -> Nullable<Text>,
    }
}

diesel::table! {
    /// The jobs table again, with the columns of the queue. A Diesel table has at most 32 columns.
    #[sql_name = "jobs"]
    queued_jobs (id) {
        id -> BigInt,
        build_id -> BigInt,
        project_id -> BigInt,
        queue_key_id -> BigInt,
        priority -> Integer,
        avoid_runner_id -> Nullable<BigInt>,
        avoid_until -> Nullable<BigInt>,
        kept_for_runner_id -> Nullable<BigInt>,
        kept_until -> Nullable<BigInt>,
        runner_id -> Nullable<BigInt>,
        claim_request -> Nullable<Text>,
    }
}

diesel::table! {
    cli_logins (hash) {
        hash -> Text,
        user_id -> BigInt,
        scopes -> Text,
        expires_at -> BigInt,
    }
}

diesel::table! {
    job_details (job_id) {
        job_id -> BigInt,
        step_key -> Nullable<Text>,
        label -> Nullable<Text>,
        retry -> Nullable<Text>,
        exit_code -> Nullable<Integer>,
        error_code -> Nullable<Text>,
        stopping_until -> Nullable<BigInt>,
        build_steps -> Nullable<Text>,
        system_id -> Nullable<Text>,
        graceful -> Bool,
        trace_incomplete -> Bool,
    }
}

diesel::table! {
    job_needs (job_id, needs_job_id) {
        job_id -> BigInt,
        needs_job_id -> BigInt,
    }
}

diesel::table! {
    traces (job_id) {
        job_id -> BigInt,
        length -> BigInt,
        crc32 -> BigInt,
        received_length -> Nullable<BigInt>,
        received_crc32 -> Nullable<BigInt>,
        reader -> Nullable<Text>,
        tail_length -> Nullable<BigInt>,
        tail_start -> Nullable<BigInt>,
    }
}

diesel::table! {
    artifact_uploads (job_id, upload_id) {
        job_id -> BigInt,
        upload_id -> Text,
        size_bytes -> BigInt,
        sha256 -> Nullable<Text>,
        changed_at -> BigInt,
    }
}

diesel::table! {
    artifact_upload_pieces (job_id, upload_id, start) {
        job_id -> BigInt,
        upload_id -> Text,
        start -> BigInt,
        length -> BigInt,
        blob_key -> Text,
    }
}

diesel::table! {
    trace_chunks (job_id, start) {
        job_id -> BigInt,
        start -> BigInt,
        length -> BigInt,
        blob_key -> Text,
        lines -> Nullable<BigInt>,
        ends_line -> Nullable<Bool>,
        at -> Nullable<BigInt>,
        line_times -> Nullable<BigInt>,
    }
}

diesel::table! {
    trace_tail_chunks (job_id, start) {
        job_id -> BigInt,
        start -> BigInt,
        length -> BigInt,
        blob_key -> Text,
        lines -> Nullable<BigInt>,
        ends_line -> Nullable<Bool>,
        at -> Nullable<BigInt>,
        line_times -> Nullable<BigInt>,
    }
}

diesel::table! {
    phase_entries (id) {
        id -> BigInt,
        job_id -> BigInt,
        phase -> Nullable<Text>,
        trace_length -> BigInt,
        at -> BigInt,
        base_image -> Nullable<Text>,
    }
}

diesel::table! {
    uploads (uuid) {
        uuid -> Text,
        created_by -> BigInt,
        mime -> Text,
        created_at -> BigInt,
        expires_at -> BigInt,
        blob_key -> Nullable<Text>,
        size_bytes -> BigInt,
        sha256 -> Nullable<Text>,
        uploaded_at -> Nullable<BigInt>,
        used_at -> Nullable<BigInt>,
        used_by -> Nullable<BigInt>,
        last_used_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    upload_uses (build_id) {
        build_id -> BigInt,
        upload_uuid -> Text,
    }
}

diesel::table! {
    artifacts (id) {
        id -> BigInt,
        job_id -> BigInt,
        kind -> Text,
        name -> Text,
        digest -> Text,
        size_bytes -> BigInt,
        blob_key -> Nullable<Text>,
        tags -> Text,
        created_at -> BigInt,
        expires_at -> Nullable<BigInt>,
        file_type -> Text,
        format -> Text,
        details -> Nullable<Text>,
    }
}

diesel::table! {
    triggers (id) {
        id -> BigInt,
        project_id -> BigInt,
        description -> Text,
        created_by -> Nullable<BigInt>,
        created_at -> BigInt,
        last_used_at -> Nullable<BigInt>,
        revoked_at -> Nullable<BigInt>,
        nonce -> Nullable<Text>,
    }
}

diesel::table! {
    commits (project_id, sha) {
        project_id -> BigInt,
        sha -> Text,
        parents -> Text,
        message -> Text,
        author_name -> Text,
        author_email -> Text,
        authored_at -> BigInt,
        authored_offset_s -> Integer,
        committer_name -> Text,
        committer_email -> Text,
        committed_at -> BigInt,
        committed_offset_s -> Integer,
    }
}

diesel::table! {
    hook_secrets (project_id) {
        project_id -> BigInt,
        sealed -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    hook_deliveries (project_id, delivery) {
        project_id -> BigInt,
        delivery -> Text,
        build_uuid -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    commit_statuses (build_id) {
        build_id -> BigInt,
        told -> Nullable<Text>,
        tries -> Integer,
        next_try_at -> BigInt,
        settled -> Bool,
    }
}

diesel::table! {
    log_keys (kid) {
        kid -> Text,
        sealed -> Text,
        created_at -> BigInt,
        retired_at -> Nullable<BigInt>,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    users,
    access_tokens,
    namespaces,
    namespace_members,
    projects,
    project_members,
    project_loads,
    variables,
    deploy_keys,
    registry_credentials,
    robots,
    runners,
    runner_projects,
    runner_managers,
    registration_tokens,
    pipelines,
    builds,
    queue_keys,
    jobs,
    job_details,
    job_needs,
    traces,
    trace_chunks,
    trace_tail_chunks,
    artifacts,
    artifact_uploads,
    artifact_upload_pieces,
    triggers,
    commits,
    hook_secrets,
    hook_deliveries,
    commit_statuses,
    phase_entries,
    uploads,
    upload_uses,
    log_keys,
);
