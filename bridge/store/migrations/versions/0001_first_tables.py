"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "account_state",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account", "key", name=op.f("pk_account_state")),
    )
    op.create_table(
        "asked",
        sa.Column("asked_for", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("at", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("asked_for", name=op.f("pk_asked")),
    )
    op.create_index("asked_of_customer", "asked", ["customer", "at"], unique=False)
    op.create_table(
        "audit",
        sa.Column("audit_id", ROW_ID, nullable=False),
        sa.Column("at", sa.String(27), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("ticket_id", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=True),
        sa.Column("rating_id", sa.Text(), nullable=True),
        sa.Column("rule", sa.Text(), nullable=True),
        sa.Column("rules_hash", sa.Text(), nullable=True),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("audit_id", name=op.f("pk_audit")),
    )
    op.create_index("audit_of_case", "audit", ["case_id"], unique=False)
    op.create_index("audit_of_ticket", "audit", ["account", "ticket_id"], unique=False)
    op.create_table(
        "cases",
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("ticket_id", sa.Text(), nullable=False),
        sa.Column("rating_id", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("rating", sa.Integer(), nullable=False),
        sa.Column("scale_max", sa.Integer(), nullable=False),
        sa.Column("rated_at", sa.String(27), nullable=False),
        sa.Column("flagged_at", sa.String(27), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("rules_hash", sa.Text(), nullable=False),
        sa.Column("playbook", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("due_at", sa.String(27), nullable=True),
        sa.Column("next_step", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("original_agent_id", sa.Text(), nullable=True),
        sa.Column("assignee_id", sa.Text(), nullable=True),
        sa.Column("group_id", sa.Text(), nullable=True),
        sa.Column("ladder", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=True),
        sa.Column("work_ticket_id", sa.Text(), nullable=True),
        sa.Column("survey_ticket_id", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("assigned_at", sa.String(27), nullable=True),
        sa.Column("confirmed_at", sa.String(27), nullable=True),
        sa.Column("acknowledged_at", sa.String(27), nullable=True),
        sa.Column("contacted_at", sa.String(27), nullable=True),
        sa.Column("replied_at", sa.String(27), nullable=True),
        sa.Column("nudged_at", sa.String(27), nullable=True),
        sa.Column("promise", sa.Text(), nullable=True),
        sa.Column("promised_by", sa.String(27), nullable=True),
        sa.Column("promise_broken_at", sa.String(27), nullable=True),
        sa.Column("solved_at", sa.String(27), nullable=True),
        sa.Column("checked_in_at", sa.String(27), nullable=True),
        sa.Column("asked_at", sa.String(27), nullable=True),
        sa.Column("asked_by", sa.Text(), nullable=True),
        sa.Column("reminded_at", sa.String(27), nullable=True),
        sa.Column("not_asked", sa.Text(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.String(27), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("deadlines_done", sa.Integer(), nullable=False),
        sa.Column("chosen_by_human", sa.Boolean(), nullable=False),
        sa.Column("seen_stamp", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.String(27), nullable=True),
        sa.Column("incident", sa.Text(), nullable=True),
        sa.Column("cause_asked_at", sa.String(27), nullable=True),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("remedy", sa.Text(), nullable=True),
        sa.Column("party", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("lease_epoch", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.String(27), nullable=True),
        sa.Column("counted", sa.Text(), nullable=False),
        sa.Column("flagged_after", sa.Integer(), nullable=True),
        sa.Column("written_after", sa.Integer(), nullable=True),
        sa.Column("acknowledged_after", sa.Integer(), nullable=True),
        sa.Column("contacted_after", sa.Integer(), nullable=True),
        sa.Column("solved_after", sa.Integer(), nullable=True),
        sa.Column("asked_after", sa.Integer(), nullable=True),
        sa.Column("answered_after", sa.Integer(), nullable=True),
        sa.CheckConstraint("(stage = 'ended') = (outcome IS NOT NULL)", name=op.f("ck_cases_ended")),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_cases")),
    )
    op.create_index(
        "case_due",
        "cases",
        ["account", "due_at"],
        unique=False,
        sqlite_where=sa.text("outcome IS NULL"),
        postgresql_where=sa.text("outcome IS NULL"),
    )
    op.create_index(
        "case_figures",
        "cases",
        [
            "flagged_at",
            "case_id",
            "account",
            "outcome",
            "version",
            "written_after",
            "counted",
            "flagged_after",
            "acknowledged_after",
            "contacted_after",
            "solved_after",
            "asked_after",
            "answered_after",
            "rule",
        ],
        unique=False,
    )
    op.create_index(
        "case_load",
        "cases",
        ["account", "assignee_id"],
        unique=False,
        sqlite_where=sa.text("outcome IS NULL"),
        postgresql_where=sa.text("outcome IS NULL"),
    )
    op.create_index("case_of_customer", "cases", ["customer", "flagged_at"], unique=False)
    op.create_index(
        "case_of_incident",
        "cases",
        ["incident", "account"],
        unique=False,
        sqlite_where=sa.text("incident IS NOT NULL"),
        postgresql_where=sa.text("incident IS NOT NULL"),
    )
    op.create_index("case_of_rating", "cases", ["rating_id", "account"], unique=False)
    op.create_index(
        "case_of_survey_ticket",
        "cases",
        ["survey_ticket_id", "account"],
        unique=False,
        sqlite_where=sa.text("survey_ticket_id IS NOT NULL"),
        postgresql_where=sa.text("survey_ticket_id IS NOT NULL"),
    )
    op.create_index("case_of_ticket", "cases", ["ticket_id", "account"], unique=False)
    op.create_index(
        "case_of_work_ticket",
        "cases",
        ["work_ticket_id", "account"],
        unique=False,
        sqlite_where=sa.text("work_ticket_id IS NOT NULL"),
        postgresql_where=sa.text("work_ticket_id IS NOT NULL"),
    )
    op.create_index(
        "one_open_case_of_customer",
        "cases",
        ["account", "customer"],
        unique=True,
        sqlite_where=sa.text("outcome IS NULL"),
        postgresql_where=sa.text("outcome IS NULL"),
    )
    op.create_index(
        "one_open_case_on_ticket",
        "cases",
        ["account", "ticket_id"],
        unique=True,
        sqlite_where=sa.text("outcome IS NULL"),
        postgresql_where=sa.text("outcome IS NULL"),
    )
    op.create_table(
        "cursor",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account", "stream", name=op.f("pk_cursor")),
    )
    op.create_table(
        "customer",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("requester_id", sa.Text(), nullable=False),
        sa.Column("customer_key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account", "requester_id", name=op.f("pk_customer")),
    )
    op.create_index("customer_by_key", "customer", ["customer_key"], unique=False)
    op.create_table(
        "inbox",
        sa.Column("inbox_id", ROW_ID, nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("delivery_key", sa.Text(), nullable=False),
        sa.Column("received_at", sa.String(27), nullable=False),
        sa.Column("ticket_id", sa.Text(), nullable=True),
        sa.Column("raw", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_before", sa.String(27), nullable=True),
        sa.PrimaryKeyConstraint("inbox_id", name=op.f("pk_inbox")),
        sa.UniqueConstraint("account", "source", "delivery_key", name=op.f("uq_inbox_account_source_delivery_key")),
    )
    op.create_index(
        "inbox_failed",
        "inbox",
        ["inbox_id"],
        unique=False,
        sqlite_where=sa.text("error IS NOT NULL"),
        postgresql_where=sa.text("error IS NOT NULL"),
    )
    op.create_index("inbox_by_state", "inbox", ["account", "source", "state", "received_at"], unique=False)
    op.create_table(
        "memory",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("at", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("account", "name", name=op.f("pk_memory")),
    )
    op.create_table(
        "opted_out",
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("at", sa.String(27), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("customer", name=op.f("pk_opted_out")),
    )
    op.create_table(
        "rate",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_rate")),
    )
    op.create_table(
        "past_ticket",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("ticket_id", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("read_at", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("account", "ticket_id", name=op.f("pk_past_ticket")),
    )
    op.create_table(
        "rating",
        sa.Column("row_id", ROW_ID, nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("rating_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("ticket_id", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.Column("scale_max", sa.Integer(), nullable=False),
        sa.Column("rated_at", sa.String(27), nullable=False),
        sa.Column("updated_at", sa.String(27), nullable=False),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("requester_id", sa.Text(), nullable=True),
        sa.Column("assignee_id", sa.Text(), nullable=True),
        sa.Column("group_id", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.String(27), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("case_id", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_before", sa.String(27), nullable=True),
        sa.PrimaryKeyConstraint("row_id", name=op.f("pk_rating")),
        sa.UniqueConstraint("account", "rating_id", "version", name=op.f("uq_rating_account_rating_id_version")),
    )
    op.create_index(
        "rating_bad",
        "rating",
        ["account", "rated_at", "rating_id", "category", "outcome"],
        unique=False,
        sqlite_where=sa.text("category = 'bad' AND (outcome IS NULL OR outcome != 'memory')"),
        postgresql_where=sa.text("category = 'bad' AND (outcome IS NULL OR outcome != 'memory')"),
    )
    op.create_index(
        "rating_failed",
        "rating",
        ["row_id"],
        unique=False,
        sqlite_where=sa.text("error IS NOT NULL"),
        postgresql_where=sa.text("error IS NOT NULL"),
    )
    op.create_index(
        "rating_given",
        "rating",
        ["account", "rated_at", "rating_id"],
        unique=False,
        sqlite_where=sa.text("outcome != 'memory'"),
        postgresql_where=sa.text("outcome != 'memory'"),
    )
    op.create_index(
        "rating_of_requester",
        "rating",
        ["requester_id", "account", "category"],
        unique=False,
        sqlite_where=sa.text("category = 'bad' OR outcome IS NULL OR outcome != 'memory'"),
        postgresql_where=sa.text("category = 'bad' OR outcome IS NULL OR outcome != 'memory'"),
    )
    op.create_index(
        "rating_undecided",
        "rating",
        ["account", "rated_at"],
        unique=False,
        sqlite_where=sa.text("outcome IS NULL"),
        postgresql_where=sa.text("outcome IS NULL"),
    )
    op.create_table(
        "rules_text",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("first_seen_at", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_rules_text")),
    )
    op.create_table(
        "spent",
        sa.Column("spent_id", ROW_ID, nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("ticket_id", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=True),
        sa.Column("at", sa.String(27), nullable=False),
        sa.Column("amount", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("because", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("spent_id", name=op.f("pk_spent")),
    )
    op.create_index("spent_for_customer", "spent", ["customer", "at"], unique=False)
    op.create_index("spent_on_ticket", "spent", ["account", "ticket_id"], unique=False)
    op.create_table(
        "effect",
        sa.Column("place", ROW_ID, nullable=False),
        sa.Column("effect_id", sa.Text(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("ticket_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("change", sa.Text(), nullable=False),
        sa.Column("seen_assignee_id", sa.Text(), nullable=True),
        sa.Column("person", sa.Text(), nullable=True),
        sa.Column("target", sa.Text(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("bundle", sa.Text(), nullable=True),
        sa.Column("way", sa.Text(), nullable=True),
        sa.Column("planned_at", sa.String(27), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("not_before", sa.String(27), nullable=True),
        sa.Column("first_sent_at", sa.String(27), nullable=True),
        sa.Column("last_sent_at", sa.String(27), nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=True),
        sa.Column("job", sa.Text(), nullable=True),
        sa.Column("remote_ref", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name=op.f("fk_effect_case_id")),
        sa.PrimaryKeyConstraint("place", name=op.f("pk_effect")),
        sa.UniqueConstraint(
            "case_id", "step", "generation", "kind", name=op.f("uq_effect_case_id_step_generation_kind")
        ),
        sa.UniqueConstraint("effect_id", name=op.f("uq_effect_effect_id")),
    )
    op.create_index("effect_by_state", "effect", ["state", "case_id", "kind", "place"], unique=False)
    op.create_index(
        "effect_of_deadline",
        "effect",
        ["account"],
        unique=False,
        sqlite_where=sa.text("substr(step, 1, 9) = 'deadline:'"),
        postgresql_where=sa.text("substr(step, 1, 9) = 'deadline:'"),
    )
    op.create_index("effect_tally", "effect", ["kind", "state", "account"], unique=False)
    op.create_index("effect_of_ticket", "effect", ["ticket_id", "account"], unique=False)
