"""The words of the report in both of its languages."""

from __future__ import annotations

from markupsafe import Markup, escape

from picktune_retrain.dataset import RULES
from picktune_retrain.gate import Check
from picktune_retrain.records import Answer

WORDS: dict[str, tuple[str, str]] = {
    "title": ("Nightly report", "夜间训练报告"),
    "admitted": (
        "Admitted: {adapter} joins the blind slates as challenger",
        "已准入：{adapter} 作为挑战者进入盲选",
    ),
    "not_admitted": (
        "Not admitted: {adapter} stays off the slates",
        "未准入：{adapter} 不进入盲选",
    ),
    "people_decide": (
        "This only lets it take part. People's blind picks decide whether it takes over.",
        "准入只表示可以参加盲选；是否取代现有模型，由人的盲选结果决定。",
    ),
    "unchanged": (
        "Champion and challenger stay as they were.",
        "冠军与挑战者保持不变。",
    ),
    "simulated": (
        "Simulated: some or all of these picks were made by a simulated picker, not by people.",
        "模拟：这些选择中有一部分或全部由模拟选择者做出，而非真人。",
    ),
    "decision": ("Decision", "判定"),
    "passed": ("passed", "通过"),
    "failed": ("not passed", "未通过"),
    "evaluation": ("Held-out choices", "留出集上的表现"),
    "evaluation_note": (
        "On {sets} choice sets from {conversations} conversations that the adapter never saw in training.",
        "共 {sets} 组选择，来自 {conversations} 个未参与训练的会话。",
    ),
    "chooser": ("Chooser", "选择者"),
    "accuracy": ("Accuracy", "准确率"),
    "log_loss": ("Log-loss (nats)", "对数损失（nat）"),
    "adapter": ("Adapter", "适配器"),
    "base": ("Base (likeliest a token)", "基座（每词元似然最高）"),
    "chance": ("Chance", "随机"),
    "gain": (
        "Gain over chance: {gain} nats a set; at least {low} with 95 % confidence.",
        "相对随机的增益：每组 {gain} nat；95% 置信下限为 {low}。",
    ),
    "curves": ("Training", "训练过程"),
    "loss_curve": (
        "Loss, nats a choice set, with the λ term of the picked reply's own likelihood",
        "损失（每组选择，nat；含被选回复自身似然的 λ 项）",
    ),
    "loss_curve_of_others": (
        "Loss: the weighted sum of the objectives; validation by the choice loss, nats a choice set",
        "损失：各目标的加权和；验证为选择损失（每组选择，nat）",
    ),
    "accuracy_curve_of_others": (
        "Share of choices and of liked or disliked replies that were told right",
        "选择及好评/差评判断正确的比例",
    ),
    "objective": ("Objective", "训练目标"),
    "objective_rows": ("{objective} · rows: {rows}", "{objective} · 行数：{rows}"),
    "accuracy_curve": ("Share of sets whose picked reply scores highest", "被选回复得分最高的比例"),
    "optimiser_steps": ("optimiser steps", "优化步数"),
    "train": ("train", "训练"),
    "validation": ("validation", "验证"),
    "test": ("test", "测试"),
    "running_mean": ("train, running mean of {window} steps", "训练（{window} 步滑动平均）"),
    "validation_is": ("validation: {value}", "验证：{value}"),
    "chance_is": ("chance: {value}", "随机：{value}"),
    "answers": ("What was done about faults", "故障及处理"),
    "fault_diverged": ("{why}, the training ran away", "训练发散（{why}）"),
    "fault_out_of_memory": ("The memory did not suffice ({why})", "内存不足（{why}）"),
    "fault_killed": (
        "The training was killed twice at the same place, as for want of memory ({why})",
        "训练在同一位置（{why}）被终止两次，按内存不足处理",
    ),
    "did_slower": (
        "{fault}: it went on from step {step} at a learning rate of {value}",
        "{fault}：退回第 {step} 步，以学习率 {value} 继续",
    ),
    "did_smaller_batch": (
        "{fault}: it began again with a batch of {value}",
        "{fault}：改用批大小 {value} 重新训练",
    ),
    "did_qlora": ("{fault}: it began again with QLoRA", "{fault}：改用 QLoRA 重新训练"),
    "dataset": ("Dataset", "数据集"),
    "split": ("Split", "划分"),
    "sets": ("Choice sets", "选择组"),
    "conversations": ("Conversations", "会话"),
    "annotators": ("Annotators", "标注者"),
    "until": ("Picks up to", "截至"),
    "roles": ("Whose picks count", "计入的角色"),
    "dropped": ("Left out", "剔除"),
    "none": ("none", "无"),
    "lineage": ("Lineage", "来源"),
    "night": ("Night", "运行"),
    "base_model": ("Base model", "基座模型"),
    "recipe": ("Recipe", "训练配方"),
    "passes": (
        "{epochs} passes over {picks} picks, {batch} a step",
        "{picks} 次选择训练 {epochs} 轮，每步 {batch} 组",
    ),
    "role_user": ("end users", "最终用户"),
    "role_agent": ("agents", "客服"),
    "role_expert": ("experts", "专家"),
    "role_crowd": ("crowd workers", "众包标注者"),
    "role_model": ("simulated pickers", "模拟选择者"),
    "took": ("Training took", "训练用时"),
    "seconds": ("{seconds} s", "{seconds} 秒"),
    "truncated": ("Prompts without their oldest messages", "截去最早消息的提示"),
    "too_long": ("Left out: a reply is too long", "因回复过长未参与训练"),
    "before": ("Challenger before", "此前的挑战者"),
    "examples": ("Held-out examples", "留出样例"),
    "examples_note": (
        "From the surest hit to the surest miss. Bars: what the adapter, and below it the base, gave it.",
        "从最有把握的命中到最有把握的失误。条形：适配器（上）与基座（下）给每条回复的概率。",
    ),
    "picked": ("picked", "被选"),
    "earlier": ("{count} earlier messages", "更早的 {count} 条消息"),
    "system": ("instructions", "指令"),
    "user": ("customer", "客户"),
    "assistant": ("agent", "客服"),
    "tool": ("tool", "工具"),
    "of_picked": ("adapter gave the picked reply {probability}", "适配器给被选回复的概率为 {probability}"),
    "interactive": ("Interactive curves", "交互式曲线"),
    "finite": (
        "{figure:.0f} of its figures are not finite numbers: the training has diverged",
        "有 {figure:.0f} 项指标不是有限数：训练已发散",
    ),
    "held_out": (
        "Judged on {figure:.0f} held-out choice sets ({bar:.0f} are asked for)",
        "在 {figure:.0f} 组留出选择上评估（至少需要 {bar:.0f} 组）",
    ),
    "check_gain": (
        "The gain over chance is {figure:+.3f} nats a set; it has to be above nought",
        "相对随机的增益为每组 {figure:+.3f} nat；须大于零",
    ),
    "check_accuracy": (
        "Finds at least {figure:.0%} of the picked replies (95 %); it has to be above chance, {bar:.0%}",
        "至少找出 {figure:.0%} 的被选回复（95%）；须高于随机的 {bar:.0%}",
    ),
    "check_base": (
        "Log-loss {figure:.3f}; the base's is {bar:.3f}, and it has to be below that",
        "对数损失为 {figure:.3f}；基座为 {bar:.3f}，须低于基座",
    ),
    "check_position": (
        "Better than looking at the place alone by {figure:+.3f} nats a set; it has to be above nought",
        "比只看位置好 {figure:+.3f} nat（每组）；须大于零",
    ),
    "check_champion": (
        "Against the champion {about}: at best {figure:+.3f} nats a set (95 %); it must not be below nought",
        "与冠军 {about} 相比：每组至多 {figure:+.3f} nat（95%）；小于零即确定更差",
    ),
    "check_frozen": (
        "Frozen hold-out {about}: at best {figure:+.3f} nats a set over chance; it must not be below nought",
        "冻结留出集 {about}：相对随机每组至多 {figure:+.3f} nat（95%）；小于零即确定更差",
    ),
    "check_tag": (
        "Tag {about} does worst: at best {figure:+.3f} nats a set over chance; it must not be below nought",
        "表现最差的标签 {about}：相对随机每组至多 {figure:+.3f} nat；不得小于零",
    ),
    "check_kl": (
        "KL from the base on picked replies {figure:.2f} nats a token; at most {bar:g}",
        "被选回复上与基座的 KL 为每词元 {figure:.2f} nat；至多 {bar:g}",
    ),
    "check_chosen": (
        "The picked replies' own likelihood has moved by {figure:+.2f} nats a token; at least {bar:g}",
        "被选回复自身的似然变化为每词元 {figure:+.2f} nat；至少 {bar:g}",
    ),
    "check_general": (
        "Plain text about other things costs {figure:+.2f} nats a token more; at most {bar:g}",
        "无关的普通文本每词元多 {figure:+.2f} nat；至多 {bar:g}",
    ),
    "check_empty": (
        "Answers with nothing in {figure:.0%} of its replies; at most {bar:.0%}",
        "{figure:.0%} 的回复为空；至多 {bar:.0%}",
    ),
    "check_repeating": (
        "Repeats itself in {figure:.0%} of its replies; at most {bar:.0%}",
        "{figure:.0%} 的回复陷入重复；至多 {bar:.0%}",
    ),
    "check_refusing": (
        "Refuses in {figure:.0%} of its replies; at most {bar:.0%}",
        "{figure:.0%} 的回复拒答；至多 {bar:.0%}",
    ),
    "check_length": (
        "Its replies are {figure:.2f} times as long as picked ones; at most {bar:.1f} times either way",
        "回复长度是被选回复的 {figure:.2f} 倍；不得超过 {bar:.1f} 倍或短于其倒数",
    ),
    "check_golden": (
        "{figure:.0f} golden prompts that the base passes have got worse; none may {about}",
        "基座能通过的基准提示中有 {figure:.0f} 个变差；不允许变差 {about}",
    ),
    "position": ("Place alone", "只看位置"),
    "champion": ("Champion", "冠军"),
    "challenger": ("Challenger", "挑战者"),
    "rival_gain": ("Gain over it (95 %, each way)", "相对其增益（单侧 95%）"),
    "frozen": ("Frozen hold-out {name}", "冻结留出集 {name}"),
    "frozen_note": (
        "{sets} picks that are the same every night and never trained on; {missing} are in the log no more.",
        "{sets} 次每晚相同且从不参与训练的选择；其中 {missing} 次已不在日志中。",
    ),
    "hold_out": ("Frozen hold-out", "冻结留出集"),
    "unselected": ("Not selected", "未选取"),
    "replayed": ("Older picks, trained on once more", "重放的旧选择"),
    "by_tag": ("By tag", "按标签"),
    "tag": ("Tag", "标签"),
    "drift": ("How far it has moved", "偏移程度"),
    "kl": ("KL from the base, nats a token", "与基座的 KL（每词元 nat）"),
    "chosen_ratio": ("Picked replies' own likelihood, nats a token", "被选回复自身似然的变化（每词元 nat）"),
    "general": ("Plain text: perplexity of base and adapter", "普通文本困惑度：基座与适配器"),
    "conduct": ("Replies of its own", "自由回复"),
    "conduct_note": (
        "Greedy replies to {count} held-out prompts.",
        "对 {count} 个留出提示的贪心回复。",
    ),
    "model": ("Model", "模型"),
    "letters": ("Letters", "字符数"),
    "empty": ("Empty", "为空"),
    "repeating": ("In a loop", "重复"),
    "refusing": ("Refusing", "拒答"),
    "golden": ("Golden prompts", "基准提示"),
    "side_by_side": ("Side by side", "并排对比"),
    "side_note": (
        "What base, champion and challenger say to the same held-out prompts, greedily, and what was picked.",
        "基座、冠军与挑战者对相同留出提示的贪心回复，以及人所选的回复。",
    ),
    "base_says": ("Base", "基座"),
}


WORDS |= {
    "card": ("Dataset card", "数据集说明"),
    "simulated_picks": (
        "Simulated: some of these picks are of a simulated picker, not of people.",
        "模拟：其中部分选择来自模拟选择者，而非真人。",
    ),
    "no_picks": ("No picks. Collect some, or ask for others.", "没有选择数据。请先收集，或放宽选取条件。"),
    "asked": ("What was asked for", "选取条件"),
    "quality": ("Quality", "质量"),
    "unusable": ("Rows that rules leave out", "被规则剔除的比例"),
    "one_person": ("By the most prolific annotator", "最多产标注者所占比例"),
    "one_place_of": (
        "At the place that is picked most, of {shown}",
        "最常被选位置所占比例（共 {shown} 个位置）",
    ),
    "one_reply": ("Of the words that are picked most", "最常被选文本所占比例"),
    "agreement": ("Agreement on the same replies", "对相同回复的一致率"),
    "agreement_is": (
        "{share} % of {pairs} pairs; by chance {chance} %",
        "{pairs} 对中 {share} %；随机为 {chance} %",
    ),
    "agreement_unknown": ("no two people decided on the same replies", "没有两人对相同回复做过选择"),
    "by_week": ("Picks by week (from Monday)", "每周选择数（自周一起）"),
    "prompt_lengths": ("Conversations by length, in characters", "会话长度分布（字符）"),
    "reply_lengths": ("Replies by length, in characters", "回复长度分布（字符）"),
    "by_role": ("By role", "按角色"),
    "by_locale": ("By language", "按语言"),
    "by_place": ("By place, of {shown} replies", "按位置（{shown} 条回复）"),
    "ask_why": (
        "picktune dataset why SLATE says it of each.",
        "用 picktune dataset why SLATE 查看每一条的原因。",
    ),
    "extra_labelled": ("Replies that were liked or not", "被赞或被踩的回复"),
    "extra_written": ("Written replies", "人工撰写的回复"),
    "extra_tie": ("Ties", "平局"),
    "extra_scenario": ("Slates of scenarios", "有场景的列表"),
}
WORDS |= {name: (rule.english, rule.chinese) for name, rule in RULES.items()}


def both(key: str, **values: object) -> Markup:
    """The words in both languages, of which the page shows one; the values are escaped."""
    return _both(*(text.format(**values) for text in WORDS[key]))


def what_was_done(answer: Answer) -> Markup:
    """A fault of the training and its answer, in words."""
    said = []
    for fault, did in zip(WORDS[f"fault_{answer.fault}"], WORDS[f"did_{answer.did}"], strict=True):
        said.append(
            did.format(fault=fault.format(why=answer.why), step=answer.step, value=f"{answer.value:g}")
        )
    return _both(*said)


def _both(*texts: str) -> Markup:
    english, chinese = map(escape, texts)
    return Markup('<span class="en" lang="en">{}</span><span class="zh" lang="zh-CN">{}</span>').format(
        english, chinese
    )


def sentence(check: Check) -> Markup:
    """A check of the gate, in words."""
    key = check.name if check.name in ("finite", "held_out") else f"check_{check.name}"
    about = f"({check.about})" if check.name == "golden" and check.about else check.about
    return both(key, figure=check.figure, bar=check.bar, about=about)
