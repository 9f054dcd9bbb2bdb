from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("contenttypes", "0002_remove_content_type_name"),
        ("embeddings", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="EmbeddingOperation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(choices=[("regenerate", "regenerate"), ("requeue", "requeue")], max_length=20),
                ),
                ("target", models.CharField(max_length=255)),
                ("parameters", models.JSONField(blank=True, default=dict)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "waiting"),
                            ("running", "running"),
                            ("done", "done"),
                            ("stopped", "stopped"),
                            ("failed", "failed"),
                        ],
                        default="waiting",
                        max_length=8,
                    ),
                ),
                ("cursor", models.JSONField(blank=True, default=dict)),
                ("rows_total", models.PositiveBigIntegerField(blank=True, null=True)),
                ("rows_read", models.PositiveBigIntegerField(default=0)),
                ("changed", models.PositiveBigIntegerField(default=0)),
                ("by", models.CharField(blank=True, default="", max_length=255)),
                ("worker", models.CharField(blank=True, default="", max_length=255)),
                ("lease_until", models.DateTimeField(blank=True, null=True)),
                ("error_message", models.TextField(blank=True, default="")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ["-id"],
                "permissions": [("stop_embeddingoperation", "Can stop embedding operations")],
            },
        ),
        migrations.RemoveIndex(
            model_name="embeddingtask",
            name="embeddings_task_batch",
        ),
        migrations.AddField(
            model_name="embeddingtask",
            name="is_shared",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddIndex(
            model_name="embeddingtask",
            index=models.Index(
                condition=models.Q(("batch__isnull", False)),
                fields=["batch", "status", "updated_at"],
                name="embeddings_task_batch",
            ),
        ),
        migrations.AddField(
            model_name="embeddingoperation",
            name="batch",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="operations",
                to="embeddings.embeddingbatch",
                verbose_name="batch",
            ),
        ),
        migrations.AddConstraint(
            model_name="embeddingoperation",
            constraint=models.UniqueConstraint(
                condition=models.Q(("finished_at__isnull", True)),
                fields=("kind", "target"),
                name="embeddings_operation_one_at_a_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="embeddingoperation",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["waiting", "running", "done", "stopped", "failed"])),
                name="embeddings_operation_state",
            ),
        ),
        migrations.AddConstraint(
            model_name="embeddingoperation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("finished_at__isnull", True), ("state__in", ["waiting", "running"])),
                    models.Q(
                        ("finished_at__isnull", False),
                        ("lease_until__isnull", True),
                        ("state__in", ["done", "stopped", "failed"]),
                    ),
                    _connector="OR",
                ),
                name="embeddings_operation_time_if_ended",
            ),
        ),
    ]
