from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector
from django.core.validators import RegexValidator
from django.db import migrations, models

import embeddings.fields


class Migration(migrations.Migration):
    """The table of articles. The vector has as many dimensions as the provider of the day this is first run."""

    initial = True

    dependencies = [("embeddings", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="Article",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "slug",
                    models.CharField(
                        help_text="The article's address, such as “subprocess.run” or “guides/first-steps”.",
                        max_length=200,
                        unique=True,
                        validators=[
                            RegexValidator(
                                r"^[\w.-]+(/[\w.-]+)*\Z", "Use words with dots, hyphens or slashes between them."
                            )
                        ],
                    ),
                ),
                ("title", models.CharField(max_length=200)),
                ("signature", models.TextField(blank=True, help_text="Shown above the text; not searched.")),
                (
                    "keywords",
                    models.CharField(blank=True, help_text="Other words to find it by; not shown.", max_length=200),
                ),
                ("content", models.TextField(blank=True)),
                ("source", models.CharField(blank=True, max_length=200)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("documentation", "Library documentation"),
                            ("reference", "Language reference"),
                            ("readme", "README"),
                            ("written", "Written by hand"),
                        ],
                        db_index=True,
                        default="written",
                        editable=False,
                        max_length=20,
                    ),
                ),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "embedding",
                    embeddings.fields.EmbeddingField(
                        blank=True, dimensions=settings.EMBEDDING_DIMENSIONS, editable=False, null=True
                    ),
                ),
            ],
            options={
                "indexes": [
                    GinIndex(SearchVector("title", "keywords", "content", config="english"), name="article_words")
                ],
            },
        ),
    ]
