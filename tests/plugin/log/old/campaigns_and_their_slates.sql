PRAGMA application_id = 1885954923;
BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'picktune','slates_and_decisions','2026-11-24 17:52:08.224782+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'picktune','hash_chain','2026-11-24 17:52:08.234239+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'picktune','decisions_with_scenario','2026-11-24 17:52:08.238709+00:00');
INSERT INTO "_sqlite_migrations" VALUES(4,'picktune','signals_and_scores','2026-11-24 17:52:08.245024+00:00');
INSERT INTO "_sqlite_migrations" VALUES(5,'picktune','revisions','2026-11-24 17:52:08.245577+00:00');
INSERT INTO "_sqlite_migrations" VALUES(6,'picktune','campaigns_and_their_slates','2026-11-24 17:52:08.251080+00:00');
CREATE TABLE adapters (
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    version TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (name, sha256)
) STRICT, WITHOUT ROWID;
CREATE TABLE alias_changes (
    id INTEGER PRIMARY KEY,
    champion TEXT,
    challenger TEXT,
    seen_at INTEGER NOT NULL
) STRICT;
INSERT INTO "alias_changes" VALUES(1,'2026-02-27-1',NULL,1772366400000000);
CREATE TABLE campaign_closings (
    name TEXT PRIMARY KEY REFERENCES campaigns (name),
    closed_at INTEGER NOT NULL,
    closed_by TEXT NOT NULL,
    why TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE campaign_slates (
    slate_id TEXT PRIMARY KEY REFERENCES slates (id),
    campaign TEXT NOT NULL REFERENCES campaigns (name)
) STRICT, WITHOUT ROWID;
CREATE TABLE campaigns (
    name TEXT PRIMARY KEY,
    definition TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE candidates (
    slate_id TEXT NOT NULL REFERENCES slates (id),
    place INTEGER NOT NULL,
    id TEXT NOT NULL UNIQUE,
    arm TEXT NOT NULL,
    kind TEXT NOT NULL,
    model TEXT,
    text TEXT NOT NULL,
    position INTEGER NOT NULL,
    propensity REAL NOT NULL,
    tokens INTEGER NOT NULL,
    latency REAL NOT NULL,
    finish_reason TEXT NOT NULL,
    also TEXT NOT NULL,
    PRIMARY KEY (slate_id, place)
) STRICT, WITHOUT ROWID;
INSERT INTO "candidates" VALUES('slate-1',0,'reply-1-0','base','base',NULL,'It is on its way.',0,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-1',1,'reply-1-1','champion','champion','2026-02-27-1','请稍等，我查一下。',1,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-1',2,'reply-1-2','base','base',NULL,'Please give me
the order number.',2,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-1',3,'reply-1-3','champion','champion','2026-02-27-1','It''s "late"; sorry.',3,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-2',0,'reply-2-0','base','base',NULL,'It is on its way.',0,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-2',1,'reply-2-1','champion','champion','2026-02-27-1','请稍等，我查一下。',1,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-2',2,'reply-2-2','base','base',NULL,'Please give me
the order number.',2,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-2',3,'reply-2-3','champion','champion','2026-02-27-1','It''s "late"; sorry.',3,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-3',0,'reply-3-0','base','base',NULL,'It is on its way.',0,0.25,7,0.5,'stop','["champion"]');
INSERT INTO "candidates" VALUES('slate-3',1,'reply-3-1','champion','champion','2026-02-27-1','请稍等，我查一下。',1,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-3',2,'reply-3-2','base','base',NULL,'Please give me
the order number.',2,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-3',3,'reply-3-3','champion','champion','2026-02-27-1','It''s "late"; sorry.',3,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-4',0,'reply-4-0','base','base',NULL,'It is on its way.',0,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-4',1,'reply-4-1','champion','champion','2026-02-27-1','请稍等，我查一下。',1,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-4',2,'reply-4-2','base','base',NULL,'Please give me
the order number.',2,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-4',3,'reply-4-3','champion','champion','2026-02-27-1','It''s "late"; sorry.',3,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-5',0,'reply-5-0','base','base',NULL,'It is on its way.',0,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-5',1,'reply-5-1','champion','champion','2026-02-27-1','请稍等，我查一下。',1,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-5',2,'reply-5-2','base','base',NULL,'Please give me
the order number.',2,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-5',3,'reply-5-3','champion','champion','2026-02-27-1','It''s "late"; sorry.',3,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-6',0,'reply-6-0','base','base',NULL,'It is on its way.',0,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-6',1,'reply-6-1','champion','champion','2026-02-27-1','请稍等，我查一下。',1,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-6',2,'reply-6-2','base','base',NULL,'Please give me
the order number.',2,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-6',3,'reply-6-3','champion','champion','2026-02-27-1','It''s "late"; sorry.',3,0.25,7,0.5,'stop','[]');
CREATE TABLE chains (name TEXT PRIMARY KEY, length INTEGER NOT NULL, hash BLOB NOT NULL) STRICT, WITHOUT ROWID
;
INSERT INTO "chains" VALUES('picks',8,X'868232988A83EE68F3024947307931851B13E03C70619AF362806958CD6DF3CC');
INSERT INTO "chains" VALUES('reactions',2,X'38CC41003A208C5D405BFDEAAE9B3916563530FE7D59566B83E27A4F8A570721');
CREATE TABLE checks (id INTEGER PRIMARY KEY CHECK (id = 1), checked INTEGER NOT NULL) STRICT;
CREATE TABLE conversations (
    id TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    locale TEXT NOT NULL,
    scenario TEXT,
    tags TEXT NOT NULL,
    messages TEXT NOT NULL,
    pending TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('open', 'closed')),
    source TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
INSERT INTO "conversations" VALUES('talk-1','Order 1','en','refund','[]','[{"role":"user","content":"Where is order 1? 在哪里？"}]','["Thanks."]','open','api',1772366400000000,1772367600000000);
INSERT INTO "conversations" VALUES('talk-2','Order 2','en',NULL,'[]','[{"role":"user","content":"Where is order 2? 在哪里？"}]','[]','closed','api',1772366400000000,1772367780000000);
INSERT INTO "conversations" VALUES('talk-3','Order 3','en','refund','[]','[{"role":"user","content":"Where is order 3? 在哪里？"}]','[]','closed','api',1772366400000000,1772367900000000);
INSERT INTO "conversations" VALUES('talk-4','Order 4','en',NULL,'[]','[{"role":"user","content":"Where is order 4? 在哪里？"}]','[]','open','api',1772366400000000,1772366400000000);
INSERT INTO "conversations" VALUES('talk-5','Order 5','en','refund','[]','[{"role":"user","content":"Where is order 5? 在哪里？"}]','[]','closed','api',1772366400000000,1772368020000000);
INSERT INTO "conversations" VALUES('talk-6','Order 6','en',NULL,'[]','[{"role":"user","content":"Where is order 6? 在哪里？"}]','[]','open','api',1772366400000000,1772366400000000);
CREATE TABLE exposures (
    slate_id TEXT NOT NULL REFERENCES slates (id),
    viewer TEXT NOT NULL,
    places TEXT NOT NULL,
    shown_at INTEGER NOT NULL,
    PRIMARY KEY (slate_id, viewer)
) STRICT, WITHOUT ROWID;
INSERT INTO "exposures" VALUES('slate-1','ann','[2,0,3,1]',1772367000000000);
INSERT INTO "exposures" VALUES('slate-1','bob','[2,0,3,1]',1772367000000000);
INSERT INTO "exposures" VALUES('slate-2','ann','[2,0,3,1]',1772367000000000);
INSERT INTO "exposures" VALUES('slate-2','bob','[2,0,3,1]',1772367000000000);
INSERT INTO "exposures" VALUES('slate-3','ann','[2,0,3,1]',1772367000000000);
INSERT INTO "exposures" VALUES('slate-3','bob','[2,0,3,1]',1772367000000000);
INSERT INTO "exposures" VALUES('slate-4','ann','[2,0,3,1]',1772367000000000);
INSERT INTO "exposures" VALUES('slate-4','bob','[2,0,3,1]',1772367000000000);
INSERT INTO "exposures" VALUES('slate-5','ann','[2,0,3,1]',1772367000000000);
INSERT INTO "exposures" VALUES('slate-5','bob','[2,0,3,1]',1772367000000000);
CREATE TABLE picks (
    id INTEGER PRIMARY KEY,
    slate_id TEXT NOT NULL REFERENCES slates (id),
    annotator TEXT NOT NULL,
    version INTEGER NOT NULL,
    key TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('chosen', 'tie', 'none_good', 'skip', 'undone')),
    candidate_id TEXT REFERENCES candidates (id),
    edited_text TEXT,
    reasons TEXT NOT NULL,
    comment TEXT,
    role TEXT NOT NULL,
    dwell_ms INTEGER,
    decided_at INTEGER NOT NULL, previous BLOB, hash BLOB, who_salt BLOB, who_hash BLOB, texts_salt BLOB, texts_hash BLOB,
    UNIQUE (slate_id, annotator, version),
    UNIQUE (slate_id, annotator, key),
    FOREIGN KEY (slate_id, annotator) REFERENCES exposures (slate_id, viewer)
) STRICT;
INSERT INTO "picks" VALUES(1,'slate-1','ann',1,'k1','chosen','reply-1-1','It''s on its way!','[]',NULL,'agent',900,1772367600000000,X'0000000000000000000000000000000000000000000000000000000000000000',X'F85E22996C0672C7499FFA7786EDA79E5780FFC8695C23B85306A775A674BEAB',X'FDD831103A33A2A88BE330348DBBBB0E',X'DED9F59DE32D6421070FEBFDB4CA279D031FDC6AFDD3980C0421C46F14164E57',X'E03BE3599DD9DE2EE5349AE4DFB0977A',X'3EF2594F6F8AC3FFC2F897D2365CC44CBD7CC9891594B44C703400DDD129F385');
INSERT INTO "picks" VALUES(2,'slate-2','ann',1,'k2','chosen','reply-2-0',NULL,'["polite"]','好','agent',NULL,1772367660000000,X'F85E22996C0672C7499FFA7786EDA79E5780FFC8695C23B85306A775A674BEAB',X'F4591371B7B7372CA3BAEB0DB266313A8CA3D7B4BC64E60F5ADB96F52F57725F',X'DF2A02010AC707DE0FCE1FD9A1FECBB3',X'3C8F1570FD2786BD8784C305D7697FBE31CE7A827D55AF5D04C04CDA5E979DF5',X'5559C41A476E4BA2D28EDC281FA8FD32',X'379ED1B9EC7C44A353306D05129E2CF99375BE210279E9F471D0EE5B7AC44AE4');
INSERT INTO "picks" VALUES(3,'slate-2','ann',2,'k3','undone',NULL,NULL,'[]',NULL,'agent',NULL,1772367720000000,X'F4591371B7B7372CA3BAEB0DB266313A8CA3D7B4BC64E60F5ADB96F52F57725F',X'6C0D92949729AC96BBF78E0BB44FC3A1D8AB9D4FD87C523727A756FAC3617842',X'1629B46B6DD940C7228C9C48F2979533',X'30D7697D8D23C043BDD9DF2014A1445EC4189B63B3D5B38C7C9E1E97FC490120',X'483FDD782FB82D374D0D51B62E897E3F',X'D12A23303F1598978ABA44370AD3D97C0B50FA0D27BA979AE139C94DE7D3F0C7');
INSERT INTO "picks" VALUES(4,'slate-2','ann',3,'k4','chosen','reply-2-3',NULL,'[]',NULL,'agent',NULL,1772367780000000,X'6C0D92949729AC96BBF78E0BB44FC3A1D8AB9D4FD87C523727A756FAC3617842',X'1AA8FF3E83A8515975134A822D15B03F3F4D5C48C3E2B4BA5E0D967C8C273784',X'DD2E21533E4C00196AA5D56F670873C0',X'669DE89CD1EA70A09F94D0F85B16839063CB5787BA7F0E8863280789D6B931D6',X'A2E8417456798F3F8CBD40099F67B540',X'18AD111CB9A9DCB083599077F7229E4EEAA4B47C3124C1068E11E8141D242677');
INSERT INTO "picks" VALUES(5,'slate-2','bob',1,'k5','none_good',NULL,NULL,'[]',NULL,'expert',NULL,1772367840000000,X'1AA8FF3E83A8515975134A822D15B03F3F4D5C48C3E2B4BA5E0D967C8C273784',X'2A5AA224A0B27F890192EEFA80E5DDDDCB87842D8D61361BC8E7CF70967DC7AF',X'427E32FA40C7C8BF14C9613C7C981E99',X'83B39C416CF14329F36A2A9FE1112BD888B909AF11C1D9B954DEBFB98914630E',X'008D366150FA413F8E27AF1D63B66B5A',X'995E2B09E7915895E8279A8F57FC7C29B9E7AE8C5B86FCE89E25CD44E4ABEFB1');
INSERT INTO "picks" VALUES(6,'slate-3','ann',1,'k6','tie','reply-3-0',NULL,'[]',NULL,'agent',NULL,1772367900000000,X'2A5AA224A0B27F890192EEFA80E5DDDDCB87842D8D61361BC8E7CF70967DC7AF',X'30A815464B07AA9AA2DA3B436FB347C5242BA4AE6A658AB8B72FFDBCD7C75AFD',X'05F538C2921A845BCC612C42F59FE75C',X'35221205B06944BE366E725378177A52B0D1B8F7840DD90588E4B0E35FBA0CCA',X'3B8A2F44AACBEB0135BABCE11ACE3710',X'F9076927DB86EB2D548B1D8A157AFDBC9CE86D2566E8AFF1699A2D9122EC9A77');
INSERT INTO "picks" VALUES(7,'slate-4','ann',1,'k7','skip',NULL,NULL,'[]',NULL,'agent',NULL,1772367960000000,X'30A815464B07AA9AA2DA3B436FB347C5242BA4AE6A658AB8B72FFDBCD7C75AFD',X'D83929C476AA9A046BC486086E955339376EBD06E84571F9AA0A6A89F74F5692',X'BBA21369AE605DEB1AA6A4C38E69A888',X'8CA87D1640F652A1A5E7D6946FE84377B8124ACF4A02107BA00FE0615B5702FE',X'C53D38B721E21E41FCBFD45E4D588374',X'6DC60592B95C5328A58FB94C67E36AF133BC2DBF544AAAE4F944C52E612C8C06');
INSERT INTO "picks" VALUES(8,'slate-5','ann',1,'k8','none_good',NULL,'Written by hand.','[]',NULL,'agent',NULL,1772368020000000,X'D83929C476AA9A046BC486086E955339376EBD06E84571F9AA0A6A89F74F5692',X'868232988A83EE68F3024947307931851B13E03C70619AF362806958CD6DF3CC',X'4009949A56748F03871CEDADD5BEECD1',X'52B564B4F0B55E7693BB43ADE5070876FD9F82B7B868C238DDC183558269F130',X'3A1696EA86192506D24970FE88FCACD3',X'67E762B1896AC79AADFD37689513915CBCEBCD52925D74E9E01E109944AAA0C7');
CREATE TABLE reactions (
    id INTEGER PRIMARY KEY,
    slate_id TEXT NOT NULL REFERENCES slates (id),
    candidate_id TEXT NOT NULL REFERENCES candidates (id),
    annotator TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL CHECK (value IN ('up', 'down')),
    reasons TEXT NOT NULL,
    comment TEXT,
    role TEXT NOT NULL,
    reacted_at INTEGER NOT NULL, previous BLOB, hash BLOB, who_salt BLOB, who_hash BLOB, texts_salt BLOB, texts_hash BLOB,
    UNIQUE (slate_id, annotator, key)
) STRICT;
INSERT INTO "reactions" VALUES(1,'slate-1','reply-1-1','customer 7','r1','up','[]',NULL,'user',1772368200000000,X'0000000000000000000000000000000000000000000000000000000000000000',X'6766A0E593F5E44D083A66CB463ADE8E8D283445D7051276AD13A93BDC27CDF6',X'610337B18A88581A1A874560AEA0BE8E',X'DA1FEE76FD3B9CEFB85AC5A2F5BDF5EE498279AEF71347FA66C70E4EBB9827BD',X'94812B7A4FBFE1D1B700773D27A164E8',X'C862732007938D6D8527A06D8C58E0B42AB4D491CB2A64C2F0CFD3950310F7CB');
INSERT INTO "reactions" VALUES(2,'slate-1','reply-1-1','customer 7','r2','down','["wrong"]',NULL,'user',1772368200000000,X'6766A0E593F5E44D083A66CB463ADE8E8D283445D7051276AD13A93BDC27CDF6',X'38CC41003A208C5D405BFDEAAE9B3916563530FE7D59566B83E27A4F8A570721',X'97113B290DE5CE56E621148BC3A79EA7',X'78B7F99E5AC123AFFB182C93B48CA499211C68E4D0C1DF4896699E82A8866E6B',X'D710D49ED19137DE0212862C0396DC08',X'7CD83D542CFF43330E506B3E93F1B27D8D29470C0C673E8163A8E706A19D597D');
CREATE TABLE revisions (id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL) STRICT
;
INSERT INTO "revisions" VALUES(1,2);
CREATE TABLE scores (
    id INTEGER PRIMARY KEY,
    slate_id TEXT NOT NULL REFERENCES slates (id),
    candidate_id TEXT NOT NULL REFERENCES candidates (id),
    annotator TEXT NOT NULL,
    scale TEXT NOT NULL,
    version INTEGER NOT NULL,
    key TEXT NOT NULL,
    value INTEGER NOT NULL,
    low INTEGER NOT NULL,
    high INTEGER NOT NULL,
    comment TEXT,
    role TEXT NOT NULL,
    scored_at INTEGER NOT NULL,
    CHECK (low < high AND value BETWEEN low AND high),
    UNIQUE (candidate_id, annotator, scale, version),
    UNIQUE (slate_id, annotator, key)
) STRICT;
CREATE TABLE sent_replies (
    pick_id INTEGER PRIMARY KEY REFERENCES picks (id),
    conversation_id TEXT NOT NULL REFERENCES conversations (id),
    place INTEGER NOT NULL,
    taken_back_by INTEGER REFERENCES picks (id)
) STRICT;
INSERT INTO "sent_replies" VALUES(1,'talk-1',0,NULL);
INSERT INTO "sent_replies" VALUES(2,'talk-2',0,3);
INSERT INTO "sent_replies" VALUES(4,'talk-2',0,NULL);
INSERT INTO "sent_replies" VALUES(6,'talk-3',0,NULL);
INSERT INTO "sent_replies" VALUES(8,'talk-5',0,NULL);
CREATE TABLE signals (
    id INTEGER PRIMARY KEY,
    slate_id TEXT NOT NULL REFERENCES slates (id),
    annotator TEXT NOT NULL,
    key TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('copied', 'visible', 'dwell', 'regenerated')),
    detail TEXT NOT NULL,
    role TEXT NOT NULL,
    noted_at INTEGER NOT NULL,
    UNIQUE (slate_id, annotator, key)
) STRICT;
CREATE TABLE slates (
    id TEXT PRIMARY KEY,
    turn_id TEXT NOT NULL REFERENCES turns (id),
    policy TEXT NOT NULL,
    seed INTEGER NOT NULL,
    complete INTEGER NOT NULL CHECK (complete IN (0, 1)),
    failures TEXT NOT NULL,
    created_at INTEGER NOT NULL
, salt BLOB, texts_hash BLOB, hash BLOB) STRICT;
INSERT INTO "slates" VALUES('slate-1','turn-1','2+2',1,1,'[]',1772366460000000,X'5D6FB9EA71E10DAEA150E041ABE854E3',X'0DB7DF1CC00F4894552699A5E1E7285A421BBEEBF8CCCBD1B31DA8A1C597D9F3',X'EA457DA8F1776447B34CF6A4D9C0230B3D024931DEF5E60C793EBD42B9A3FD49');
INSERT INTO "slates" VALUES('slate-2','turn-2','2+2',2,1,'[]',1772366520000000,X'5C67DB2666312B4669FB610A2EF1FEC2',X'E85C553F68D8AFA5B8F48C22D0DD933423D78B638414992E69F0B9B74E955583',X'F90421C49E6D71627462C367BD6D36FD378A01DEFCCE60BED3D9ABD08AC0B1FD');
INSERT INTO "slates" VALUES('slate-3','turn-3','2+2',3,1,'[]',1772366580000000,X'A117BCA7843D4713FF2F8F21AB6EF8C3',X'C59329BEFBF57C8CC4F5869367C2B85693931FA11AEC681E670BEA98DCB3EFF5',X'82EBBA412E750C7F01AF3A63EC527BAC8F78733E9777D1ABACBA0C8E723C3C61');
INSERT INTO "slates" VALUES('slate-4','turn-4','2+2',4,0,'["champion: late"]',1772366640000000,X'E2F11E341BFAF252DFCA9CD3C4325457',X'7F014952182B29BCCE10A7506B034F9E14BE16749CED8E5FA073061FEB82550B',X'4B560F3417972A5C180BA5ABD14A4E6CEC63C1AE5C0A775D4C941921A2E21E78');
INSERT INTO "slates" VALUES('slate-5','turn-5','2+2',5,1,'[]',1772366700000000,X'46D15C31906E2D1895B0EDCCF60DFA63',X'5A024D702D034FE85B044D9FF08FBEE18604DD8A1ACEBFA84DE5C2068E0BA3EF',X'0FE36D3688A2AC4C2AE717C35517220FCE48E0BEB304931F5CB5F41E654CD24F');
INSERT INTO "slates" VALUES('slate-6','turn-6','2+2',6,1,'[]',1772366760000000,X'B30CDCC8AA6994272D928531FCC13399',X'8C0EDB9B982A0FD574D81CCF083B8A54F8C2B5C7B73DAAA33411871212341F09',X'9ACB2FA57C11FA3511E07E283FF2BFE92AA11D84124999B341D1C28A1E8B9A6E');
CREATE TABLE turns (
    id TEXT PRIMARY KEY,
    conversation_id TEXT NOT NULL,
    messages TEXT NOT NULL,
    user_ref TEXT,
    tags TEXT NOT NULL,
    locale TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
INSERT INTO "turns" VALUES('turn-1','talk-1','[{"role":"user","content":"Where is order 1? 在哪里？"}]','customer 7','["refund","vip"]','en',1772366460000000);
INSERT INTO "turns" VALUES('turn-2','talk-2','[{"role":"user","content":"Where is order 2? 在哪里？"}]','customer 7','[]','zh-CN',1772366520000000);
INSERT INTO "turns" VALUES('turn-3','talk-3','[{"role":"user","content":"Where is order 3? 在哪里？"}]','customer 7','["refund","vip"]','en',1772366580000000);
INSERT INTO "turns" VALUES('turn-4','talk-4','[{"role":"user","content":"Where is order 4? 在哪里？"}]','customer 7','[]','en',1772366640000000);
INSERT INTO "turns" VALUES('turn-5','talk-5','[{"role":"user","content":"Where is order 5? 在哪里？"}]','customer 7','["refund","vip"]','en',1772366700000000);
INSERT INTO "turns" VALUES('turn-6','talk-6','[{"role":"user","content":"Where is order 6? 在哪里？"}]','customer 7','[]','en',1772366760000000);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX turns_by_conversation ON turns (conversation_id);
CREATE INDEX slates_by_turn ON slates (turn_id, created_at);
CREATE INDEX picks_by_time ON picks (decided_at);
CREATE INDEX conversations_by_update ON conversations (updated_at, id);
CREATE INDEX conversations_by_status ON conversations (status, updated_at, id);
CREATE INDEX conversations_by_locale ON conversations (status, locale, updated_at, id);
CREATE UNIQUE INDEX sent_replies_that_stand ON sent_replies (conversation_id, place)
WHERE taken_back_by IS NULL;
CREATE INDEX alias_changes_by_time ON alias_changes (seen_at);
CREATE TRIGGER picks_are_never_deleted BEFORE DELETE ON picks
BEGIN SELECT raise(ABORT, 'picks are append only: record an undone version instead of deleting one'); END;
CREATE TRIGGER picks_are_never_replaced BEFORE INSERT ON picks
WHEN NEW.version <> 1 + (
        SELECT coalesce(max(version), 0) FROM picks
        WHERE slate_id = NEW.slate_id AND annotator = NEW.annotator)
    OR EXISTS (SELECT 1 FROM picks WHERE id = NEW.id)
    OR EXISTS (
        SELECT 1 FROM picks WHERE slate_id = NEW.slate_id AND annotator = NEW.annotator AND key = NEW.key)
BEGIN SELECT raise(ABORT, 'picks are append only: versions count from 1 and a key is used once'); END;
CREATE VIEW standing_picks AS
SELECT p.id, p.slate_id, p.annotator, p.version, p.key, p.verdict, p.candidate_id, p.edited_text, p.reasons,
    p.comment, p.role, p.dwell_ms, p.decided_at
FROM picks p
WHERE p.verdict <> 'undone' AND NOT EXISTS (
    SELECT 1 FROM picks n
    WHERE n.slate_id = p.slate_id AND n.annotator = p.annotator AND n.version > p.version);
CREATE VIEW shown AS
SELECT e.slate_id, e.viewer, o.key AS position, c.id AS candidate_id, c.arm, c.kind, c.model, c.also, c.text
FROM exposures e CROSS JOIN json_each(e.places) o
CROSS JOIN candidates c ON c.slate_id = e.slate_id AND c.place = o.value;
CREATE VIEW sent AS
SELECT r.conversation_id, r.place, r.pick_id, p.slate_id, p.annotator, p.decided_at,
    coalesce(p.edited_text, c.text) AS text
FROM sent_replies r JOIN picks p ON p.id = r.pick_id LEFT JOIN candidates c ON c.id = p.candidate_id
WHERE r.taken_back_by IS NULL;
CREATE VIEW choice_sets AS
SELECT p.id AS pick_id, p.slate_id, t.conversation_id, t.messages,
    (SELECT json_group_array(text) FROM (
        SELECT w.text FROM shown w WHERE w.slate_id = p.slate_id AND w.viewer = p.annotator
        ORDER BY w.position)) AS replies,
    (SELECT w.position FROM shown w WHERE w.slate_id = p.slate_id AND w.viewer = p.annotator
        AND w.candidate_id = p.candidate_id) AS chosen,
    p.annotator, p.role, t.tags, t.locale, p.decided_at
FROM standing_picks p JOIN slates s ON s.id = p.slate_id JOIN turns t ON t.id = s.turn_id
WHERE p.verdict = 'chosen' AND (SELECT count(*) FROM candidates c WHERE c.slate_id = p.slate_id) >= 2;
CREATE VIEW preferences AS
SELECT p.id AS pick_id, p.slate_id, t.messages, c.text AS chosen, w.text AS rejected, w.position,
    p.annotator, p.role, p.decided_at
FROM standing_picks p JOIN slates s ON s.id = p.slate_id JOIN turns t ON t.id = s.turn_id
JOIN candidates c ON c.id = p.candidate_id
JOIN shown w ON w.slate_id = p.slate_id AND w.viewer = p.annotator AND w.candidate_id <> p.candidate_id
WHERE p.verdict = 'chosen';
CREATE VIEW demonstrations AS
SELECT p.id AS pick_id, p.slate_id, t.messages, p.edited_text AS completion, p.annotator, p.role, p.decided_at
FROM standing_picks p JOIN slates s ON s.id = p.slate_id JOIN turns t ON t.id = s.turn_id
LEFT JOIN candidates c ON c.id = p.candidate_id
WHERE p.edited_text IS NOT NULL AND p.edited_text IS NOT c.text;
CREATE TRIGGER picks_are_never_changed BEFORE UPDATE ON picks
BEGIN SELECT raise(ABORT, 'picks are append only: record a new version instead of changing one'); END;
CREATE TRIGGER slates_are_sealed BEFORE INSERT ON slates
WHEN NEW.salt IS NULL OR NEW.texts_hash IS NULL OR NEW.hash IS NULL
BEGIN SELECT raise(ABORT, 'slates are sealed by a hash: let a Picktune of this version write them'); END;
CREATE TRIGGER reactions_are_never_changed BEFORE UPDATE ON reactions
BEGIN SELECT raise(ABORT, 'reactions are append only: record another one instead of changing one'); END;
CREATE TRIGGER reactions_are_never_deleted BEFORE DELETE ON reactions
BEGIN SELECT raise(ABORT, 'reactions are append only: none is deleted'); END;
CREATE TRIGGER reactions_are_never_replaced BEFORE INSERT ON reactions
WHEN EXISTS (SELECT 1 FROM reactions WHERE id = NEW.id)
    OR EXISTS (
        SELECT 1 FROM reactions
        WHERE slate_id = NEW.slate_id AND annotator = NEW.annotator AND key = NEW.key)
BEGIN SELECT raise(ABORT, 'reactions are append only: a key is used once'); END;
CREATE TRIGGER picks_continue_the_chain BEFORE INSERT ON picks
WHEN NEW.id <> 1 + (SELECT coalesce(max(id), 0) FROM picks)
    OR NEW.previous IS NOT (SELECT hash FROM chains WHERE name = 'picks')
    OR NEW.hash IS NULL OR NEW.who_salt IS NULL OR NEW.who_hash IS NULL
    OR NEW.texts_salt IS NULL OR NEW.texts_hash IS NULL
BEGIN SELECT raise(ABORT, 'picks are append only: let a Picktune of this version continue their chain'); END;
CREATE TRIGGER picks_move_the_head AFTER INSERT ON picks
BEGIN UPDATE chains SET length = length + 1, hash = NEW.hash WHERE name = 'picks'; END;
CREATE TRIGGER reactions_continue_the_chain BEFORE INSERT ON reactions
WHEN NEW.id <> 1 + (SELECT coalesce(max(id), 0) FROM reactions)
    OR NEW.previous IS NOT (SELECT hash FROM chains WHERE name = 'reactions')
    OR NEW.hash IS NULL OR NEW.who_salt IS NULL OR NEW.who_hash IS NULL
    OR NEW.texts_salt IS NULL OR NEW.texts_hash IS NULL
BEGIN SELECT raise(ABORT, 'reactions are append only: let a Picktune of this version continue their chain'); END;
CREATE TRIGGER reactions_move_the_head AFTER INSERT ON reactions
BEGIN UPDATE chains SET length = length + 1, hash = NEW.hash WHERE name = 'reactions'; END;
CREATE VIEW decisions AS
SELECT p.id AS pick_id, p.slate_id, t.conversation_id, p.annotator, p.role, p.verdict, s.complete, t.tags,
    t.locale, p.decided_at,
    (SELECT json_group_array(json(one)) FROM (
        SELECT json_array(w.arm, json(w.also), w.model, w.candidate_id IS p.candidate_id) AS one FROM shown w
        WHERE w.slate_id = p.slate_id AND w.viewer = p.annotator ORDER BY w.position)) AS candidates,
    (SELECT json_array(a.champion, a.challenger) FROM alias_changes a WHERE a.seen_at <= s.created_at
        ORDER BY a.seen_at DESC, a.id DESC LIMIT 1) AS aliases,
    (SELECT v.scenario FROM conversations v WHERE v.id = t.conversation_id) AS scenario
FROM standing_picks p JOIN slates s ON s.id = p.slate_id JOIN turns t ON t.id = s.turn_id;
CREATE INDEX signals_by_kind ON signals (kind, noted_at);
CREATE INDEX scores_by_time ON scores (scored_at);
CREATE TRIGGER signals_are_never_changed BEFORE UPDATE ON signals
WHEN NEW.annotator NOT LIKE 'erased-%' OR NEW.id <> OLD.id OR NEW.slate_id <> OLD.slate_id
    OR NEW.kind <> OLD.kind OR NEW.detail <> OLD.detail OR NEW.role <> OLD.role
    OR NEW.noted_at <> OLD.noted_at
BEGIN SELECT raise(ABORT, 'signals are append only: note a new one instead of changing one'); END;
CREATE TRIGGER signals_are_never_deleted BEFORE DELETE ON signals
WHEN EXISTS (SELECT 1 FROM picks p WHERE p.slate_id = OLD.slate_id)
    OR EXISTS (SELECT 1 FROM reactions r WHERE r.slate_id = OLD.slate_id)
    OR EXISTS (SELECT 1 FROM scores c WHERE c.slate_id = OLD.slate_id)
BEGIN SELECT raise(ABORT, 'signals on a slate that was decided on are evidence, and stay'); END;
CREATE TRIGGER signals_are_never_replaced BEFORE INSERT ON signals
WHEN EXISTS (SELECT 1 FROM signals WHERE id = NEW.id) OR EXISTS (
        SELECT 1 FROM signals
        WHERE slate_id = NEW.slate_id AND annotator = NEW.annotator AND key = NEW.key)
BEGIN SELECT raise(ABORT, 'signals are append only: a key is used once'); END;
CREATE TRIGGER scores_are_never_changed BEFORE UPDATE ON scores
WHEN NEW.annotator NOT LIKE 'erased-%' OR NEW.comment IS NOT NULL OR NEW.id <> OLD.id
    OR NEW.slate_id <> OLD.slate_id OR NEW.candidate_id <> OLD.candidate_id OR NEW.scale <> OLD.scale
    OR NEW.version <> OLD.version OR NEW.value <> OLD.value OR NEW.low <> OLD.low OR NEW.high <> OLD.high
    OR NEW.role <> OLD.role OR NEW.scored_at <> OLD.scored_at
BEGIN SELECT raise(ABORT, 'scores are append only: give a new version instead of changing one'); END;
CREATE TRIGGER scores_are_never_deleted BEFORE DELETE ON scores
BEGIN SELECT raise(ABORT, 'scores are append only: give a new version instead of deleting one'); END;
CREATE TRIGGER scores_are_never_replaced BEFORE INSERT ON scores
WHEN NEW.version <> 1 + (
        SELECT coalesce(max(version), 0) FROM scores
        WHERE candidate_id = NEW.candidate_id AND annotator = NEW.annotator AND scale = NEW.scale)
    OR EXISTS (SELECT 1 FROM scores WHERE id = NEW.id)
    OR EXISTS (
        SELECT 1 FROM scores WHERE slate_id = NEW.slate_id AND annotator = NEW.annotator AND key = NEW.key)
BEGIN SELECT raise(ABORT, 'scores are append only: versions count from 1 and a key is used once'); END;
CREATE VIEW standing_scores AS
SELECT s.* FROM scores s WHERE NOT EXISTS (
    SELECT 1 FROM scores n WHERE n.candidate_id = s.candidate_id AND n.annotator = s.annotator
        AND n.scale = s.scale AND n.version > s.version);
CREATE VIEW edit_preferences AS
SELECT p.id AS pick_id, p.slate_id, t.conversation_id, t.messages, p.edited_text AS chosen,
    c.text AS rejected, c.arm, c.also, c.model, p.annotator, p.role, t.tags, t.locale, p.decided_at
FROM standing_picks p JOIN slates s ON s.id = p.slate_id JOIN turns t ON t.id = s.turn_id
JOIN candidates c ON c.id = p.candidate_id
WHERE p.edited_text IS NOT NULL AND p.edited_text <> c.text;
CREATE TRIGGER changed_picks_make_a_revision AFTER UPDATE ON picks
BEGIN UPDATE revisions SET number = number + 1 WHERE id = 1; END;
CREATE TRIGGER lost_picks_make_a_revision AFTER DELETE ON picks
BEGIN UPDATE revisions SET number = number + 1 WHERE id = 1; END;
CREATE TRIGGER changed_exposures_make_a_revision AFTER UPDATE ON exposures
BEGIN UPDATE revisions SET number = number + 1 WHERE id = 1; END;
CREATE TRIGGER changed_turns_make_a_revision AFTER UPDATE OF tags, locale, conversation_id ON turns
BEGIN UPDATE revisions SET number = number + 1 WHERE id = 1; END;
CREATE TRIGGER changed_candidates_make_a_revision AFTER UPDATE OF arm, also, model ON candidates
BEGIN UPDATE revisions SET number = number + 1 WHERE id = 1; END;
CREATE TRIGGER new_aliases_make_a_revision AFTER INSERT ON alias_changes
BEGIN UPDATE revisions SET number = number + 1 WHERE id = 1; END;
CREATE TRIGGER changed_aliases_make_a_revision AFTER UPDATE ON alias_changes
BEGIN UPDATE revisions SET number = number + 1 WHERE id = 1; END;
CREATE TRIGGER lost_aliases_make_a_revision AFTER DELETE ON alias_changes
BEGIN UPDATE revisions SET number = number + 1 WHERE id = 1; END;
CREATE TRIGGER late_conversations_make_a_revision AFTER INSERT ON conversations WHEN NEW.scenario IS NOT NULL AND EXISTS (SELECT 1 FROM turns WHERE conversation_id = NEW.id)
BEGIN UPDATE revisions SET number = number + 1 WHERE id = 1; END;
CREATE TRIGGER changed_conversations_make_a_revision AFTER UPDATE OF scenario ON conversations
BEGIN UPDATE revisions SET number = number + 1 WHERE id = 1; END;
CREATE TRIGGER lost_conversations_make_a_revision AFTER DELETE ON conversations
BEGIN UPDATE revisions SET number = number + 1 WHERE id = 1; END;
CREATE INDEX campaign_slates_by_campaign ON campaign_slates (campaign);
CREATE TRIGGER campaigns_are_never_changed BEFORE UPDATE ON campaigns
BEGIN SELECT raise(ABORT, 'campaigns stay as they were made: close it and make another one'); END;
CREATE TRIGGER campaigns_are_never_deleted BEFORE DELETE ON campaigns
BEGIN SELECT raise(ABORT, 'campaigns stay as they were made: close it instead of deleting it'); END;
CREATE TRIGGER campaigns_are_never_replaced BEFORE INSERT ON campaigns
WHEN EXISTS (SELECT 1 FROM campaigns WHERE name = NEW.name)
BEGIN SELECT raise(ABORT, 'campaigns stay as they were made: use another name'); END;
CREATE TRIGGER campaign_closings_are_never_changed BEFORE UPDATE ON campaign_closings
BEGIN SELECT raise(ABORT, 'a campaign is closed once and for all: make another one'); END;
COMMIT;
